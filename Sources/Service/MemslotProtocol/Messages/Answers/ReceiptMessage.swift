public import Memslots

/// A receipt as the wire tells it: the core's, with the VM's name and its memory's.
public struct ReceiptMessage: Sendable {
    /// The VM's name.
    public var vm: String
    /// What was done.
    public var receipt: Receipt
    /// The array in request order, where an id was left out.
    public var slots: [SlotMessage]?
    /// In an event: the generation before.
    public var previousGeneration: Generation?
    /// In an event: added, moved and reflagged slots in full.
    public var changed: [SlotMessage]?

    /// Holds the parts.
    public init(
        vm: String, _ receipt: Receipt, slots: [SlotMessage]? = nil,
        previousGeneration: Generation? = nil, changed: [SlotMessage]? = nil
    ) {
        self.vm = vm
        self.receipt = receipt
        self.slots = slots
        self.previousGeneration = previousGeneration
        self.changed = changed
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
