package import Memslots

/// A run of slot calls that belong together.
package struct ImportedTransaction: Sendable {
    /// How the VM's slots differ after it.
    package enum Outcome: Hashable, Sendable {
        /// They differ.
        case committed
        /// They are as before.
        case unchanged
    }

    /// The VM, an index into ``ImportedScenario/machines``.
    package var machine: Int
    /// The thread that made the calls.
    package var thread: ThreadID
    /// When the first call was; `nil` in a log without times.
    package var time: TraceTime?
    /// When the last call was.
    package var endTime: TraceTime?
    /// The calls in order; never empty.
    package var calls: [RecordedCall]
    /// Whether anything changed.
    package var outcome: Outcome
    /// How many transactions of the VM up to and with this one changed something.
    package var generation: Generation
    /// How many of the calls created, deleted, moved and reflagged a slot.
    package var changes: ChangeCounts
    /// What of the guest's memory was missing meanwhile.
    package var audit: HoleAudit

    /// The line of the first call.
    package var line: Int { calls.first?.line ?? 0 }
}

/// How many calls did what.
package struct ChangeCounts: Hashable, Sendable {
    /// Slots created.
    package var created = 0
    /// Slots deleted.
    package var deleted = 0
    /// Slots moved.
    package var moved = 0
    /// Slots whose `log-dirty-pages` changed.
    package var reflagged = 0
    /// Calls that changed nothing, or whose effect isn't known.
    package var without = 0

    /// Zero of everything.
    package init() {}

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
