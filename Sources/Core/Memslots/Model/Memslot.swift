/// One memslot: a range of guest physical addresses and the user memory behind it.
///
/// A plain value of 64 bytes without references: arrays of 32,764 of them are compared and copied
/// at memory speed. A `Memslot` by itself may break rules; a submit validates the whole array.
///
/// Kernel: `struct kvm_userspace_memory_region2`, Documentation/virt/kvm/api.rst 4.35, 4.140.
public struct Memslot: Hashable, Sendable {
    /// The id, or ``noID``: storage without the byte that an optional needs.
    @usableFromInline package var assignedID: SlotID
    /// The address space.
    public var addressSpace: AddressSpaceID
    /// The guest physical address of the first byte; a multiple of the VM's page.
    public var guestPhysicalAddress: GuestPhysicalAddress
    /// The size in bytes; a multiple of the VM's page, not 0.
    public var size: ByteCount
    /// The user memory behind the slot, in this process; a multiple of the VM's page.
    public var userspaceAddress: UserspaceAddress
    /// The flags.
    public var flags: MemslotFlags
    @usableFromInline var memoryObject: MemoryObjectID
    @usableFromInline var memoryOffset: ByteCount
    @usableFromInline var guestMemfdDescriptor: Int32
    @usableFromInline var guestMemfdOffset: ByteCount

    /// Creates a memslot.
    ///
    /// - Parameters:
    ///   - id: the slot id; `nil` lets the table pick one when the array is submitted.
    ///   - addressSpace: the address space, 0 by default.
    ///   - guestPhysicalAddress: the first byte's address; a multiple of the VM's page.
    ///   - size: in bytes; a multiple of the VM's page, not 0.
    ///   - userspaceAddress: the memory behind it in this process; a multiple of the VM's page.
    ///   - flags: none by default.
    ///   - memory: the memory object behind it, if the embedder has given it a number.
    ///   - guestMemfd: the file of its private memory. Ignored unless `flags` contains `.guestMemfd`.
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
        (self.assignedID, self.addressSpace) = (id ?? Self.noID, addressSpace)
        (self.guestPhysicalAddress, self.size) = (guestPhysicalAddress, size)
        (self.userspaceAddress, self.flags) = (userspaceAddress, flags)
        self.memoryObject = memory?.object ?? MemoryObjectID(rawValue: 0)
        self.memoryOffset = self.memoryObject.rawValue == 0 ? .zero : memory?.offset ?? .zero
        self.guestMemfdDescriptor = guestMemfd?.descriptor ?? -1
        self.guestMemfdOffset = guestMemfd?.offset ?? ByteCount(rawValue: 0)
    }

    /// Stands in ``assignedID`` for no id.
    @inlinable static var noID: SlotID { SlotID(rawValue: .max) }

    /// A Boolean value that indicates whether the slot has an id.
    @inlinable package var hasID: Bool { assignedID != Self.noID }

    /// The id in its address space; `nil` lets the table pick one when the array is submitted.
    ///
    /// Every slot of a ``MemslotArray`` and of a ``Receipt`` has its id.
    @inlinable
    public var id: SlotID? {
        get { hasID ? assignedID : nil }
        set { assignedID = newValue ?? Self.noID }
    }

    /// The memory object behind the slot; `nil` if the embedder named none.
    @inlinable
    public var memory: MemoryReference? {
        memoryObject.rawValue == 0
            ? nil : MemoryReference(object: memoryObject, offset: memoryOffset)
    }

    /// The file of the slot's private memory; ``GuestMemfdBinding/own`` if none was named.
    /// `nil` for a slot without `.guestMemfd`.
    @inlinable
    public var guestMemfd: GuestMemfdBinding? {
        flags.contains(.guestMemfd)
            ? GuestMemfdBinding(descriptor: guestMemfdDescriptor, offset: guestMemfdOffset) : nil
    }

    /// The name of the slot in its VM; `nil` without an id.
    @inlinable
    public var key: SlotKey? { hasID ? assignedKey : nil }

    /// The key of a slot that has an id. Without one, the key is above every other of its
    /// address space.
    @inlinable
    package var assignedKey: SlotKey { SlotKey(addressSpace: addressSpace, id: assignedID) }

    /// The number of pages of 4096 bytes. ``Capabilities/pageCount(of:)`` counts the pages of a VM.
    @inlinable
    public var pageCount: UInt64 { size.pageCount }

    /// The first address past the slot. Only for a slot of a validated array, where it can't wrap.
    @inlinable
    public var guestPhysicalEnd: GuestPhysicalAddress {
        GuestPhysicalAddress(rawValue: guestPhysicalAddress.rawValue &+ size.rawValue)
    }

    /// Returns whether the two slots share a guest byte in one address space.
    ///
    /// - Precondition: neither range wraps 2^64.
    @inlinable
    public func overlaps(_ other: Memslot) -> Bool {
        addressSpace == other.addressSpace
            && guestPhysicalAddress < other.guestPhysicalEnd
            && other.guestPhysicalAddress < guestPhysicalEnd
    }

    /// Returns whether all words are equal.
    ///
    /// Unlike the synthesized operator it has no branch for each word: arrays are compared by it,
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
            (left.assignedID.rawValue ^ right.assignedID.rawValue)
            | (left.addressSpace.rawValue ^ right.addressSpace.rawValue)
            | (left.flags.rawValue ^ right.flags.rawValue)
            | (left.memoryObject.rawValue ^ right.memoryObject.rawValue)
            | UInt32(bitPattern: left.guestMemfdDescriptor ^ right.guestMemfdDescriptor)
        return long | UInt64(short) == 0
    }

    /// A Boolean value that indicates whether KVM records the guest's writes to this slot.
    @inlinable
    public var isLogging: Bool { flags.contains(.logDirtyPages) }
}

/// The flags of a memslot that userspace may set.
///
/// Kernel: `KVM_MEM_*`, Documentation/virt/kvm/api.rst 4.35 and 4.140.
public struct MemslotFlags: OptionSet, Hashable, Sendable {
    /// The kernel's bits.
    public var rawValue: UInt32

    /// Creates flags from the kernel's bits.
    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// KVM records the guest's writes, one bit a page. Kernel: `KVM_MEM_LOG_DIRTY_PAGES`.
    public static let logDirtyPages = MemslotFlags(rawValue: 1 << 0)
    /// The guest's writes exit to userspace. Kernel: `KVM_MEM_READONLY`.
    public static let readOnly = MemslotFlags(rawValue: 1 << 1)
    /// Private memory comes from a guest_memfd; such a slot can only be deleted.
    /// Kernel: `KVM_MEM_GUEST_MEMFD`, with `KVM_SET_USER_MEMORY_REGION2` only.
    public static let guestMemfd = MemslotFlags(rawValue: 1 << 2)

    /// Each flag with its name on the wire and in fixtures, in the kernel's order.
    package static let wireNames: [(flag: MemslotFlags, name: String)] = [
        (.logDirtyPages, "log-dirty-pages"), (.readOnly, "readonly"), (.guestMemfd, "guest-memfd"),
    ]

    /// The names of the flags that are set, in the kernel's order.
    public var names: [String] { Self.wireNames.compactMap { contains($0.flag) ? $0.name : nil } }
}
