/// One memslot: a range of guest physical addresses and the user memory behind it.
///
/// A plain value of 64 bytes without references, so that arrays of 32,764 of them are compared
/// and copied at memory speed. A `Memslot` by itself may be nonsense; an array of them is judged
/// as a whole when it is submitted.
///
/// Kernel: `struct kvm_userspace_memory_region2`, Documentation/virt/kvm/api.rst 4.35, 4.140.
public struct Memslot: Hashable, Sendable {
    /// The id in its address space, or ``SlotID/unassigned`` for the table to pick one.
    public var id: SlotID
    /// The address space.
    public var addressSpace: AddressSpaceID
    /// Where the guest sees the memory; a multiple of 4096.
    public var guestPhysicalAddress: GuestPhysicalAddress
    /// Bytes; a multiple of 4096, not 0.
    public var size: ByteCount
    /// The user memory behind the slot, in this process; a multiple of 4096.
    public var userspaceAddress: UserspaceAddress
    /// The flags.
    public var flags: MemslotFlags
    @usableFromInline var memoryObject: MemoryObjectID
    @usableFromInline var memoryOffset: ByteCount
    @usableFromInline var guestMemfdDescriptor: Int32
    @usableFromInline var guestMemfdOffset: ByteCount

    /// Makes a memslot.
    ///
    /// - Parameters:
    ///   - id: the slot id; `nil` lets the table pick one when the array is submitted.
    ///   - addressSpace: the address space, 0 by default.
    ///   - guestPhysicalAddress: where the guest sees it; a multiple of 4096.
    ///   - size: bytes; a multiple of 4096, not 0.
    ///   - userspaceAddress: the memory behind it in this process; a multiple of 4096.
    ///   - flags: none by default.
    ///   - memory: which host pages these are, where the embedder has a name for them.
    ///   - guestMemfd: where private memory comes from; for `.guestMemfd` slots only.
    @inlinable
    public init(
        id: SlotID? = nil,
        addressSpace: AddressSpaceID = .main,
        guestPhysicalAddress: GuestPhysicalAddress,
        size: ByteCount,
        userspaceAddress: UserspaceAddress,
        flags: MemslotFlags = [],
        memory: MemoryReference? = nil,
        guestMemfd: GuestMemfdBinding? = nil
    ) {
        self.id = id ?? SlotID(rawValue: .max)
        self.addressSpace = addressSpace
        self.guestPhysicalAddress = guestPhysicalAddress
        self.size = size
        self.userspaceAddress = userspaceAddress
        self.flags = flags
        self.memoryObject = memory?.object ?? MemoryObjectID(rawValue: 0)
        self.memoryOffset = self.memoryObject.rawValue == 0 ? .zero : memory?.offset ?? .zero
        self.guestMemfdDescriptor = guestMemfd?.descriptor ?? -1
        self.guestMemfdOffset = guestMemfd?.offset ?? ByteCount(rawValue: 0)
    }

    /// The memory object behind the slot, where the embedder named one.
    @inlinable
    public var memory: MemoryReference? {
        memoryObject.rawValue == 0
            ? nil : MemoryReference(object: memoryObject, offset: memoryOffset)
    }

    /// Where private memory comes from; ``GuestMemfdBinding/own`` if nothing was named.
    /// `nil` for a slot without `.guestMemfd`.
    @inlinable
    public var guestMemfd: GuestMemfdBinding? {
        flags.contains(.guestMemfd)
            ? GuestMemfdBinding(descriptor: guestMemfdDescriptor, offset: guestMemfdOffset) : nil
    }

    /// What names the slot.
    @inlinable
    public var key: SlotKey { SlotKey(addressSpace: addressSpace, id: id) }

    /// How many pages of 4096 bytes the slot has.
    @inlinable
    public var pageCount: UInt64 { size.pageCount }

    /// The first address past the slot. Only for a slot of a validated array, where it can't wrap.
    @inlinable
    public var guestPhysicalEnd: GuestPhysicalAddress {
        GuestPhysicalAddress(rawValue: guestPhysicalAddress.rawValue &+ size.rawValue)
    }

    /// Whether the two slots share a guest byte in one address space.
    ///
    /// - Precondition: neither range wraps 2^64.
    @inlinable
    public func overlaps(_ other: Memslot) -> Bool {
        addressSpace == other.addressSpace
            && guestPhysicalAddress < other.guestPhysicalEnd
            && other.guestPhysicalAddress < guestPhysicalEnd
    }

    /// Whether all words are equal.
    ///
    /// Without a branch a word, as the synthesized operator has them: arrays are compared by this,
    /// at the speed of memory.
    @inlinable
    public static func == (left: Memslot, right: Memslot) -> Bool {
        let long =
            (left.guestPhysicalAddress.rawValue ^ right.guestPhysicalAddress.rawValue)
            | (left.size.rawValue ^ right.size.rawValue)
            | (left.userspaceAddress.rawValue ^ right.userspaceAddress.rawValue)
            | (left.memoryOffset.rawValue ^ right.memoryOffset.rawValue)
            | (left.guestMemfdOffset.rawValue ^ right.guestMemfdOffset.rawValue)
        let short =
            (left.id.rawValue ^ right.id.rawValue)
            | (left.addressSpace.rawValue ^ right.addressSpace.rawValue)
            | (left.flags.rawValue ^ right.flags.rawValue)
            | (left.memoryObject.rawValue ^ right.memoryObject.rawValue)
            | UInt32(bitPattern: left.guestMemfdDescriptor ^ right.guestMemfdDescriptor)
        return long | UInt64(short) == 0
    }

    /// Whether KVM records the guest's writes to this slot.
    @inlinable
    public var isLogging: Bool { flags.contains(.logDirtyPages) }
}
