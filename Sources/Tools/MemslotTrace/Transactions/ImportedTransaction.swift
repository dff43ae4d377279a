public import Memslots

/// A run of slot calls that belong together.
public struct ImportedTransaction: Sendable {
    /// How the VM's slots differ after it.
    public enum Outcome: Hashable, Sendable {
        /// They differ.
        case committed
        /// They are as before.
        case unchanged
    }

    /// The VM, an index into ``ImportedScenario/machines``.
    public var machine: Int
    /// The thread that made the calls.
    public var thread: ThreadID
    /// When the first call was; `nil` in a log without times.
    public var time: TraceTime?
    /// When the last call was.
    public var endTime: TraceTime?
    /// The calls in order; never empty.
    public var calls: [RecordedCall]
    /// Whether anything changed.
    public var outcome: Outcome
    /// How many transactions of the VM up to and with this one changed something.
    public var generation: Generation
    /// How many of the calls created, deleted, moved and reflagged a slot.
    public var changes: ChangeCounts
    /// What of the guest's memory was missing meanwhile.
    public var audit: HoleAudit

    /// The line of the first call.
    public var line: Int { calls.first?.line ?? 0 }
}

/// How many calls did what.
public struct ChangeCounts: Hashable, Sendable {
    /// Slots created.
    public var created = 0
    /// Slots deleted.
    public var deleted = 0
    /// Slots moved.
    public var moved = 0
    /// Slots whose `log-dirty-pages` changed.
    public var reflagged = 0
    /// Calls that changed nothing, or whose effect isn't known.
    public var without = 0

    /// Zero of everything.
    public init() {}

    mutating func count(_ kind: SlotChange.Kind) {
        switch kind {
        case .create: created += 1
        case .delete: deleted += 1
        case .move: moved += 1
        case .reflag: reflagged += 1
        case .nothing: without += 1
        }
    }
}
