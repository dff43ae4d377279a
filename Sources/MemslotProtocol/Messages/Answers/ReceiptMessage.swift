public import Memslots

/// A receipt as the wire tells it: what a submit did, or would do.
public struct ReceiptMessage: Sendable {
    /// The VM's name.
    public var vm: String
    /// The generation afterwards.
    public var generation: Generation
    /// Whether there was anything to do.
    public var outcome: Outcome
    /// The ids of the slots that came, ascending.
    public var added: [SlotKey] = []
    /// The ids of the slots that went, ascending.
    public var removed: [SlotKey] = []
    /// The ids of the slots at another address, ascending.
    public var moved: [SlotKey] = []
    /// The ids of the slots with other flags, ascending.
    public var reflagged: [SlotKey] = []
    /// The array in request order, where an id was left out.
    public var slots: [SlotMessage]?
    /// The operations in the order carried out.
    public var operations: [OperationMessage] = []
    /// Whether no plan of fewer operations exists.
    public var isOptimal = true
    /// Dirty pages that no slot of the new array can tell, by old slot.
    public var dirty: [DirtyPagesMessage] = []
    /// Whether vCPUs were held out.
    public var wasQuiesced = false
    /// Whether every reader has left the old array.
    public var isRetired = true
    /// Who has not.
    public var readers: [String] = []
    /// What the caller should know.
    public var warnings: [String] = []
    /// How long each step took.
    public var nanoseconds = ReceiptTimes()
    /// In an event: the generation before.
    public var previousGeneration: Generation?
    /// In an event: added, moved and reflagged slots in full.
    public var changed: [SlotMessage]?

    /// What came of a submit.
    public enum Outcome: String, CaseIterable, Sendable {
        /// The array is the new one.
        case committed
        /// The array was already as asked for.
        case unchanged
    }

    /// A receipt without any change yet.
    public init(vm: String, generation: Generation, outcome: Outcome) {
        self.vm = vm
        self.generation = generation
        self.outcome = outcome
    }
}

/// A slot with its backing as an answer names it.
public struct SlotMessage: Sendable {
    /// The slot.
    public var slot: Memslot
    /// The backing, as this peer may know it.
    public var backing: SlotBacking
    /// The name of its guest_memfd.
    public var guestMemfd: String?

    /// Holds the parts.
    public init(_ slot: Memslot, backing: SlotBacking, guestMemfd: String? = nil) {
        self.slot = slot
        self.backing = backing
        self.guestMemfd = guestMemfd
    }
}

/// Dirty pages of a slot that is gone.
public struct DirtyPagesMessage: Hashable, Sendable {
    /// The old slot.
    public var slot: SlotKey
    /// The pages as runs, ascending, counted from the old slot's first page.
    public var ranges: [Range<UInt64>]

    /// Holds both.
    public init(_ slot: SlotKey, ranges: [Range<UInt64>]) {
        self.slot = slot
        self.ranges = ranges
    }
}

/// How long the steps of a transaction took, in nanoseconds.
public struct ReceiptTimes: Hashable, Sendable {
    /// Validation to the last hook's prepare.
    public var prepare: UInt64 = 0
    /// Waiting for vCPUs and readers.
    public var quiesce: UInt64 = 0
    /// Reading dirty logs.
    public var harvest: UInt64 = 0
    /// The backend's calls.
    public var apply: UInt64 = 0
    /// From the first vCPU held out to all let in.
    public var blackout: UInt64 = 0
    /// All of it.
    public var total: UInt64 = 0

    /// No time at all.
    public init() {}
}
