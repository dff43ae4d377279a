/// What came of a run.
public struct SimulationReport: Hashable, Sendable {
    /// How often something happened.
    public struct Counts: Hashable, Sendable {
        /// Points at which another thread could go on.
        public var steps = 0
        /// Arrays submitted.
        public var submits = 0
        /// Transactions committed.
        public var commits = 0
        /// Submits that changed nothing.
        public var unchanged = 0
        /// Transactions undone.
        public var rollbacks = 0
        /// Transactions whose undo failed.
        public var failures = 0
        /// Failed tables that were recovered.
        public var recoveries = 0
        /// Transactions that a hook refused.
        public var vetoes = 0
        /// Transactions given up at the deadline.
        public var timeouts = 0
        /// Compare-and-swaps that found another generation.
        public var conflicts = 0
        /// Arrays refused because they break rules.
        public var invalid = 0
        /// Times that a vCPU was in the guest.
        public var entries = 0
        /// Guest writes.
        public var writes = 0
        /// Reads of the table, each held against what was committed.
        public var reads = 0
        /// Old arrays that were retired after their submit had returned.
        public var retirements = 0
        /// Dirty logs read, each held against what was written.
        public var dirtyReads = 0
        /// Events delivered to subscribers and observers, each held against what happened.
        public var events = 0
        /// Events that subscribers were told they had lost.
        public var droppedEvents = 0

        /// Nothing at all.
        public init() {}
    }

    /// The options.
    public var options: SimulationOptions
    /// How often something happened.
    public var counts = Counts()
    /// Of all that happened: the same for the same options, in every process.
    public var hash = ""
    /// What did not hold; `nil` if all did.
    public var breach: Breach?
    /// What the scheduler chose.
    public var choices = ScheduleChoices([])
    /// All that happened, if it was to be kept.
    public var trace: [String] = []

    init(_ options: SimulationOptions) { self.options = options }

    /// One hash for several runs; that of the only one is its own.
    public static func hash(ofAll hashes: [String]) -> String {
        guard hashes.count != 1 else { return hashes[0] }
        var hash = TraceHash()
        for text in hashes { hash.fold(text) }
        return hash.text
    }
}

extension SimulationReport.Counts {
    /// Adds `other`.
    public static func += (left: inout Self, right: Self) {
        for path in all { left[keyPath: path.path] += right[keyPath: path.path] }
    }

    /// Every count with its name.
    public var named: [(name: String, count: Int)] {
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
