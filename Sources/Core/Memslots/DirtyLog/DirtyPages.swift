/// Dirty pages of one slot.
public struct DirtyPages: Hashable, Sendable {
    /// The slot as it was when the pages were written.
    public var slot: Memslot
    /// Runs of page numbers, relative to the slot's first page, ascending.
    public var runs: [Range<UInt64>]

    /// Names `runs` of `slot`.
    public init(slot: Memslot, runs: [Range<UInt64>]) {
        self.slot = slot
        self.runs = runs
    }
}
