package struct SimulationReport: Hashable, Sendable {
    package struct Counts: Hashable, Sendable {
        /// Points at which another thread could run.
        package var steps = 0
        package var submits = 0, commits = 0, unchanged = 0, invalid = 0, vetoes = 0, rollbacks = 0
        /// Transactions whose undo failed, their recoveries, and transactions aborted at the deadline.
        package var failures = 0, recoveries = 0, timeouts = 0
        /// Compare-and-swaps that found another generation.
        package var conflicts = 0
        /// Guest ranges that became private or shared with a commit.
        package var attributes = 0
        package var entries = 0, writes = 0
        /// Reads of the table, each compared with the committed arrays.
        package var reads = 0
        /// Old arrays retired after their submit returned.
        package var retirements = 0
        /// Dirty logs read, each compared with the guest's writes.
        package var dirtyReads = 0
        /// Events delivered to subscribers and observers, each compared with the table's.
        package var events = 0, droppedEvents = 0
        package var refusals = 0
        /// Lost vhost-user back ends that were replaced.
        package var reconnections = 0

        package init() {}
    }

    package var options: SimulationOptions
    package var counts = Counts()
    /// The hash of the trace: the same for the same options, in every process.
    package var hash = ""
    /// The invariant that did not hold; `nil` if all did.
    package var breach: Breach?
    package var choices = ScheduleChoices([])
    /// The trace, if the options ask for it.
    package var trace: [String] = []

    init(_ options: SimulationOptions) { self.options = options }

    /// One hash of several runs; a single one keeps its own.
    package static func hash(ofAll hashes: [String]) -> String {
        guard hashes.count != 1 else { return hashes[0] }
        var hash = TraceHash()
        for text in hashes { hash.fold(text) }
        return hash.text
    }
}

extension SimulationReport.Counts {
    package static func += (left: inout Self, right: Self) {
        for path in all { left[keyPath: path.path] += right[keyPath: path.path] }
    }

    package var named: [(name: String, count: Int)] {
        Self.all.map { ($0.name, self[keyPath: $0.path]) }
    }

    private static let all: [(name: String, path: any WritableKeyPath<Self, Int> & Sendable)] = [
        ("steps", \.steps), ("submits", \.submits), ("commits", \.commits),
        ("unchanged", \.unchanged), ("roll-backs", \.rollbacks), ("failures", \.failures),
        ("recoveries", \.recoveries), ("vetoes", \.vetoes), ("timeouts", \.timeouts),
        ("conflicts", \.conflicts), ("invalid", \.invalid), ("attribute changes", \.attributes),
        ("guest entries", \.entries), ("guest writes", \.writes), ("reads", \.reads),
        ("retirements", \.retirements), ("dirty-log reads", \.dirtyReads),
        ("events", \.events), ("events dropped", \.droppedEvents),
        ("refusals", \.refusals), ("back ends replaced", \.reconnections),
    ]
}
