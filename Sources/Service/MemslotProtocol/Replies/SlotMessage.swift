public import Memslots

/// A slot with its backing as the wire names it.
public struct SlotMessage: Sendable {
    /// The slot. Its own userspace address and memory are not sent: ``backing`` is.
    public var slot: Memslot
    /// The backing, by a name that this peer may know.
    public var backing: SlotBacking
    /// The name of its guest_memfd; `nil` where it has none or one of its own.
    public var guestMemfd: String?

    /// A slot with its names.
    public init(_ slot: Memslot, backing: SlotBacking, guestMemfd: String? = nil) {
        (self.slot, self.backing, self.guestMemfd) = (slot, backing, guestMemfd)
    }
}

/// How a reply names the memory behind a slot.
public enum SlotBacking: Hashable, Sendable {
    /// By its address in the service: for simulated VMs.
    case userspaceAddress(UserspaceAddress)
    /// By a named memory object.
    case memory(name: String, offset: ByteCount)
    /// By a token: a slot of an embedded VM that no named memory covers.
    case opaque(String)
}

/// Slots with the names of their memory.
///
/// An element is made when it is read: a list of all would take more memory than its text.
public struct NamedSlots: RandomAccessCollection, ExpressibleByArrayLiteral, Sendable {
    /// How many slots there are.
    public let count: Int
    private let element: @Sendable (Int) -> SlotMessage

    package init(count: Int, element: @escaping @Sendable (Int) -> SlotMessage) {
        (self.count, self.element) = (count, element)
    }

    /// A list of these.
    public init(arrayLiteral elements: SlotMessage...) {
        self.init(count: elements.count) { elements[$0] }
    }

    /// 0.
    public var startIndex: Int { 0 }

    /// ``count``.
    public var endIndex: Int { count }

    /// The slot number `index`.
    public subscript(index: Int) -> SlotMessage { element(index) }
}

/// The array of a VM at one moment.
public struct ArrayMessage: Sendable {
    /// The VM's name.
    public var vm: String
    /// The array's generation.
    public var generation: Generation
    /// A Boolean value that indicates whether the VM is failed, and ``slots`` are those that are
    /// really installed.
    public var isInstalled: Bool
    /// The slots, ascending by address space and id.
    public var slots: NamedSlots
    /// The guest ranges that are private, ascending and merged.
    public var attributes: [GuestRange]
    /// Whether the list is sent though it is empty: submitted again, it makes all memory shared.
    public var hasAttributes = false

    package init(
        vm: String, generation: Generation, isInstalled: Bool, slots: NamedSlots,
        attributes: [GuestRange] = []
    ) {
        (self.vm, self.generation) = (vm, generation)
        (self.isInstalled, self.slots, self.attributes) = (isInstalled, slots, attributes)
    }
}

/// A receipt as the wire shows it: the core's, with the names of the VM and of its memory.
public struct ReceiptMessage: Sendable {
    /// The VM's name.
    public var vm: String
    /// The receipt.
    public var receipt: Receipt
    /// The array in request order, where an id was omitted.
    public var slots: NamedSlots?
    /// In an event: the generation before.
    public var previousGeneration: Generation?
    /// In an event: added, moved and reflagged slots in full.
    public var changed: NamedSlots?

    /// A receipt with its names.
    public init(vm: String, _ receipt: Receipt, slots: NamedSlots? = nil) {
        (self.vm, self.receipt, self.slots) = (vm, receipt, slots)
    }
}
