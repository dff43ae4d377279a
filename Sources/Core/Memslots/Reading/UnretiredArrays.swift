/// Arrays that are not active any more, and that registered readers may still look at.
///
/// A reader of an old array is inside without a break ever since: it stays in all younger ones too,
/// so that arrays retire in the order of their generations.
// Sendable: guarded by the monitor.
final class UnretiredArrays: @unchecked Sendable {
    private struct Entry {
        var version: ArrayVersion
        /// Who may be in it; `nil` until that was looked at.
        var stays: [ReaderStay]?

        var isRetired: Bool { stays.map { $0.allSatisfy(\.hasEnded) } ?? false }
    }

    private let monitor = Monitor()
    // Guarded by `monitor`. Ascending by generation.
    private var entries: [Entry] = []
    // Guarded by `monitor`. Whether a receipt has said that readers stay.
    private var isOwed = false

    /// Takes an array that is about to be replaced.
    func add(_ version: ArrayVersion) {
        monitor.withLock { entries.append(Entry(version: version, stays: nil)) }
    }

    /// Keeps the array that was added last for `stays`; all arrays go where there are none.
    ///
    /// - Returns: the index of an array that went, to be used again once nobody else has it.
    func keep(for stays: [ReaderStay]) -> AddressIndex? {
        monitor.withLock {
            guard let last = entries.indices.last else { return nil }
            entries[last].stays = stays
            guard stays.isEmpty else {
                isOwed = true
                return nil
            }
            return entries[last].version.snapshot.array.index
        }
    }

    /// Lets go of the oldest arrays that nobody is in.
    ///
    /// - Parameter active: the generation of the active array.
    /// - Returns: the generation whose older arrays all are retired now, where that is owed.
    func settle(active: Generation) -> Generation? {
        // Let go outside of the lock.
        let (gone, retired) = monitor.withLock {
            let gone = Array(entries.prefix(while: \.isRetired))
            entries.removeFirst(gone.count)
            guard isOwed, !gone.isEmpty else { return (gone, Generation?.none) }
            isOwed = !entries.isEmpty
            return (gone, entries.first?.version.snapshot.generation ?? active)
        }
        return withExtendedLifetime(gone) { retired }
    }

    /// The arrays that somebody may look at.
    var arrays: [MemslotArray] {
        monitor.withLock {
            entries.filter { !$0.isRetired }.map(\.version.snapshot.array)
        }
    }
}
