/// How many slot calls a simulated kernel took, by what they turned out to be.
public struct OperationCounts: Hashable, Sendable {
    /// Slots created.
    public internal(set) var creates: UInt64 = 0
    /// Slots deleted.
    public internal(set) var deletes: UInt64 = 0
    /// Slots moved.
    public internal(set) var moves: UInt64 = 0
    /// Slots whose `log-dirty-pages` alone changed.
    public internal(set) var reflags: UInt64 = 0
    /// Calls that asked for what was there.
    public internal(set) var unchanged: UInt64 = 0
    /// Calls that were refused with an errno.
    public internal(set) var refused: UInt64 = 0

    mutating func count(_ change: SlotChange) {
        switch change {
        case .create: creates += 1
        case .delete: deletes += 1
        case .move: moves += 1
        case .flagsOnly: reflags += 1
        case .unchanged: unchanged += 1
        }
    }
}
