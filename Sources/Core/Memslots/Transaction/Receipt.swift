/// What a submit did.
public struct Receipt: Hashable, Sendable {
    /// Whether anything changed.
    public enum Outcome: String, CaseIterable, Hashable, Sendable {
        /// The VM has the submitted array now.
        case committed
        /// The VM had it already: no call, no hook, no event, no new generation.
        case unchanged
    }

    /// The generation after the submit.
    public var generation: Generation
    /// Whether anything changed.
    public var outcome: Outcome
    /// What differs from the array before.
    public var diff: MemslotDiff
    /// The slot calls, in the order in which they were carried out.
    public var operations: [PlannedOperation]
    /// Whether no plan with fewer calls exists, as far as that was proved.
    public var isOptimal: Bool
    /// The submitted slots with the ids picked, in request order; `nil` where all had one.
    public var slots: [Memslot]?
    /// Dirty pages whose host page no logging slot of the new array maps, by their old slot.
    public var unmappedDirtyPages: [DirtyPages]
    /// Whether vCPUs were held out of the guest.
    public var quiesced: Bool
    /// Whether every reader of the old array has left, so that its memory may be unmapped.
    public var retired: Bool
    /// The readers that have not left.
    public var readers: [String]
    /// What works but will disappoint.
    public var warnings: [String]
    /// Where the time went.
    public var nanoseconds: Nanoseconds

    /// A receipt of `operations`, with everything else as it is when all goes well.
    public init(
        generation: Generation, outcome: Outcome, diff: MemslotDiff,
        operations: [PlannedOperation], isOptimal: Bool = true
    ) {
        self.generation = generation
        self.outcome = outcome
        self.diff = diff
        self.operations = operations
        self.isOptimal = isOptimal
        unmappedDirtyPages = []
        quiesced = false
        retired = true
        readers = []
        warnings = []
        nanoseconds = Nanoseconds()
    }

    /// Times of one transaction, in nanoseconds of the monotonic clock.
    public struct Nanoseconds: Hashable, Sendable {
        /// In `prepare` of all hooks.
        public var prepare: UInt64 = 0
        /// From closing the gates until nobody was inside.
        public var quiesce: UInt64 = 0
        /// Reading dirty logs.
        public var harvest: UInt64 = 0
        /// The slot calls.
        public var apply: UInt64 = 0
        /// From asking vCPUs to leave until they could enter again; 0 where they weren't asked.
        public var blackout: UInt64 = 0
        /// The whole submit.
        public var total: UInt64 = 0

        /// No time at all.
        public init() {}
    }
}
