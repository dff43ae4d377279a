extension MemslotTable {
    /// The arrays before the active one that registered readers may still read, oldest first.
    ///
    /// Their memory must stay mapped. Empty after a submit whose receipt is ``Receipt/retired``.
    public var unretiredArrays: [MemslotArray] { pair.unretired.arrays }

    /// Keeps `object`, the memory behind slots, as long as the table or a reader of it lives.
    package func retain(_ object: any AnyObject & Sendable) { pair.retain(object) }

    /// Retires arrays that readers left after their submit had returned. Runs on a thread of the
    /// table's own: the reader that left may be anywhere, and observers are called in transactions.
    func retireLeftArrays() {
        do throws(ReentryError) {
            try serially { publishRetirement() }
        } catch {
            preconditionFailure("a thread of its own is inside no callback")
        }
    }

    /// Releases old arrays that nobody reads, and publishes it if a receipt was not retired.
    func publishRetirement() {
        if let generation = pair.releaseRetired() { publish(.retired(generation: generation)) }
    }
}

/// Arrays that are no longer active, and that registered readers may still read.
///
/// A reader pins every later array until it leaves, so that arrays retire in the order of their
/// generations.
// Sendable: guarded by the monitor.
final class UnretiredArrays: @unchecked Sendable {
    private struct Entry {
        var version: ArrayVersion
        /// The readers that may be in it; `nil` before they were listed.
        var visits: [ReaderVisit]?

        var isRetired: Bool { visits.map { $0.allSatisfy(\.hasEnded) } ?? false }
    }

    private let monitor = Monitor()
    // Guarded by `monitor`. Ascending by generation.
    private var entries: [Entry] = []
    // Guarded by `monitor`. Whether a receipt named readers that had not left.
    private var hasUnreportedRetirement = false

    /// Adds an array that is about to be replaced.
    func add(_ version: ArrayVersion) {
        monitor.withLock { entries.append(Entry(version: version, visits: nil)) }
    }

    /// Keeps the array that was added last for `visits`; all arrays go where there are none.
    ///
    /// - Returns: the index of a released array, to be used again once it has no other owner.
    func pinNewest(for visits: [ReaderVisit]) -> AddressIndex? {
        monitor.withLock {
            guard let last = entries.indices.last else { return nil }
            entries[last].visits = visits
            guard visits.isEmpty else {
                hasUnreportedRetirement = true
                return nil
            }
            return entries[last].version.snapshot.array.index
        }
    }

    /// Releases the oldest arrays that no reader is in.
    ///
    /// - Parameter active: the generation of the active array.
    /// - Returns: the generation whose older arrays all are retired now, if a receipt reported
    ///   otherwise; else `nil`.
    func releaseRetired(active: Generation) -> Generation? {
        // Released outside of the lock.
        let (gone, retired) = monitor.withLock {
            let gone = Array(entries.prefix(while: \.isRetired))
            entries.removeFirst(gone.count)
            guard hasUnreportedRetirement, !gone.isEmpty else { return (gone, Generation?.none) }
            hasUnreportedRetirement = !entries.isEmpty
            return (gone, entries.first?.version.snapshot.generation ?? active)
        }
        return withExtendedLifetime(gone) { retired }
    }

    var arrays: [MemslotArray] {
        monitor.withLock { entries.filter { !$0.isRetired }.map(\.version.snapshot.array) }
    }
}
