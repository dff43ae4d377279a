/// What a registered reader needs of the active array, in memory that stays where it is.
@usableFromInline
struct VersionLines {
    /// The index of address space 0, where that has slots.
    @usableFromInline let main: UnsafeMutablePointer<SlotTree>?
    @usableFromInline let generation: UInt64
    /// A record that no address is in.
    @usableFromInline let noRecord: UnsafePointer<SlotRecord>
    /// The version these are of, which outlives its readers.
    let version: Unmanaged<ArrayVersion>
}

/// An array at one generation, as long as anybody reads it.
// Sendable: never changed after `init`.
final class ArrayVersion: @unchecked Sendable {
    let snapshot: TableSnapshot
    /// What readers find by the active pointer; freed with this.
    let lines: UnsafeMutablePointer<VersionLines>

    /// A record for those who have none.
    // Never written, never freed.
    nonisolated(unsafe) static let noRecord: UnsafePointer<SlotRecord> = {
        let record = UnsafeMutablePointer<SlotRecord>.allocate(capacity: 1)
        record.initialize(to: .before)
        return UnsafePointer(record)
    }()

    init(_ snapshot: TableSnapshot) {
        self.snapshot = snapshot
        lines = .allocate(capacity: 1)
        lines.initialize(
            to: VersionLines(
                main: snapshot.array.index.tree(of: 0),
                generation: snapshot.generation.rawValue, noRecord: Self.noRecord,
                version: .passUnretained(self)))
    }

    deinit { lines.deallocate() }
}
