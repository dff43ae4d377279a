/// The id of a memslot within its address space.
///
/// Range: 0 up to ``Capabilities/maxSlots`` − 1, which is the low 16 bits of the kernel's `slot`.
/// Kernel: `KVM_CAP_NR_MEMSLOTS`, Documentation/virt/kvm/api.rst 4.35.
public struct SlotID: TypedInteger {
    /// The number.
    public var rawValue: UInt32

    /// Creates the id `rawValue`. Any value is accepted; a submit validates it.
    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }
}

/// The KVM address space of a memslot.
///
/// 0 is the guest's ordinary memory. 1, where the host has it, is what an x86 vCPU sees in
/// system management mode. Slots of different address spaces are unrelated: they have their own
/// ids and may overlap. It is the upper 16 bits of the kernel's `slot`.
/// Kernel: `KVM_CAP_MULTI_ADDRESS_SPACE`.
public struct AddressSpaceID: TypedInteger {
    /// The number.
    public var rawValue: UInt32

    /// Creates the id `rawValue`. Any value is accepted; a submit validates it.
    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The guest's ordinary memory.
    public static let main = AddressSpaceID(rawValue: 0)
}

/// The name of a memslot in a VM: its address space and its id there.
///
/// Keys are ordered by address space, then id, which is the order of every list of slots.
public struct SlotKey: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The address space.
    public var addressSpace: AddressSpaceID
    /// The id within the address space.
    public var id: SlotID

    /// Creates the key of slot `id` of `addressSpace`.
    @inlinable
    public init(addressSpace: AddressSpaceID = .main, id: SlotID) {
        (self.addressSpace, self.id) = (addressSpace, id)
    }

    /// Both numbers in one, so that keys compare as one integer.
    @inlinable
    var ordinal: UInt64 { UInt64(addressSpace.rawValue) << 32 | UInt64(id.rawValue) }

    /// Orders by address space, then id.
    @inlinable
    public static func < (left: SlotKey, right: SlotKey) -> Bool { left.ordinal < right.ordinal }

    /// `3`, or `1:3` for slot 3 of address space 1.
    public var description: String {
        addressSpace == .main ? id.description : "\(addressSpace):\(id)"
    }
}
