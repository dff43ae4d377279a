package struct SimulationReport: Hashable, Sendable {
    /// What a simulation counts, by the names that are printed.
    package enum Count: String, CaseIterable, Sendable {
        /// Points at which another thread could run.
        case steps
        case submits, commits, unchanged
        case rollbacks = "roll-backs"
        /// Transactions whose undo failed, and their recoveries.
        case failures, recoveries
        case vetoes
        /// Transactions aborted at the deadline.
        case timeouts
        /// Compare-and-swaps that found another generation.
        case conflicts
        case invalid
        /// Guest ranges that became private or shared with a commit.
        case attributes = "attribute changes"
        case entries = "guest entries"
        case writes = "guest writes"
        /// Reads of the table, each compared with the committed arrays.
        case reads
        /// Old arrays retired after their submit returned.
        case retirements
        /// Dirty logs read, each compared with the guest's writes.
        case dirtyReads = "dirty-log reads"
        /// Events delivered to subscribers and observers, each compared with the table's.
        case events
        case droppedEvents = "events dropped"
        case refusals
        /// Lost vhost-user back ends that were replaced.
        case reconnections = "back ends replaced"
    }

    package var options: SimulationOptions
    package var counts: Tally<Count>
    /// The hash of the trace: the same for the same options, in every process.
    package var hash: String
    /// The invariant that did not hold; `nil` if all did.
    package var breach: Breach?
    package var choices: ScheduleChoices
    /// The trace, if the options ask for it.
    package var trace: [String]

    /// One hash of several runs; a single one keeps its own.
    package static func hash(ofAll hashes: [String]) -> String {
        guard hashes.count != 1 else { return hashes[0] }
        var hash = TraceHash()
        for text in hashes { hash.fold(text) }
        return hash.text
    }
}
