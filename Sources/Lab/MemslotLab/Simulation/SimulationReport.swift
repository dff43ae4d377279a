/// What came of a run.
package struct SimulationReport: Hashable, Sendable {
    /// How often something happened.
    package struct Counts: Hashable, Sendable {
        /// Points at which another thread could go on.
        package var steps = 0
        /// Arrays submitted.
        package var submits = 0
        /// Transactions committed.
        package var commits = 0
        /// Submits that changed nothing.
        package var unchanged = 0
        /// Transactions undone.
        package var rollbacks = 0
        /// Transactions whose undo failed.
        package var failures = 0
        /// Failed tables that were recovered.
        package var recoveries = 0
        /// Transactions that a hook refused.
        package var vetoes = 0
        /// Transactions given up at the deadline.
        package var timeouts = 0
        /// Compare-and-swaps that found another generation.
        package var conflicts = 0
        /// Arrays refused because they break rules.
        package var invalid = 0
        /// Times that a vCPU was in the guest.
        package var entries = 0
        /// Guest writes.
        package var writes = 0
        /// Reads of the table, each held against what was committed.
        package var reads = 0
        /// Old arrays that were retired after their submit had returned.
        package var retirements = 0
        /// Dirty logs read, each held against what was written.
        package var dirtyReads = 0
        /// Events delivered to subscribers and observers, each held against what happened.
        package var events = 0
        /// Events that subscribers were told they had lost.
        package var droppedEvents = 0

        /// Nothing at all.
        package init() {}
    }

    /// The options.
    package var options: SimulationOptions
    /// How often something happened.
    package var counts = Counts()
    /// Of all that happened: the same for the same options, in every process.
    package var hash = ""
    /// What did not hold; `nil` if all did.
    package var breach: Breach?
    /// What the scheduler chose.
    package var choices = ScheduleChoices([])
    /// All that happened, if it was to be kept.
    package var trace: [String] = []

    init(_ options: SimulationOptions) { self.options = options }

    /// One hash for several runs; that of the only one is its own.
    package static func hash(ofAll hashes: [String]) -> String {
        guard hashes.count != 1 else { return hashes[0] }
        var hash = TraceHash()
        for text in hashes { hash.fold(text) }
        return hash.text
    }
}

extension SimulationReport.Counts {
    /// Adds `other`.
    package static func += (left: inout Self, right: Self) {
        for path in all { left[keyPath: path.path] += right[keyPath: path.path] }
    }

    /// Every count with its name.
    package var named: [(name: String, count: Int)] {
        Self.all.map { ($0.name, self[keyPath: $0.path]) }
    }

    private static let all: [(name: String, path: any WritableKeyPath<Self, Int> & Sendable)] = [
        ("steps", \.steps), ("submits", \.submits), ("commits", \.commits),
        ("unchanged", \.unchanged), ("roll-backs", \.rollbacks), ("failures", \.failures),
        ("recoveries", \.recoveries), ("vetoes", \.vetoes), ("timeouts", \.timeouts),
        ("conflicts", \.conflicts), ("invalid", \.invalid), ("guest entries", \.entries),
        ("guest writes", \.writes), ("reads", \.reads),
        ("retirements", \.retirements), ("dirty-log reads", \.dirtyReads),
        ("events", \.events), ("events dropped", \.droppedEvents),
    ]
}
