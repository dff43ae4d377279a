/// The rules that a submitted array may break, by the names that the wire and the logs use.
public enum ViolationKind: String, CaseIterable, Hashable, Sendable {
    /// The guest physical address is not a multiple of 4096.
    case misalignedAddress = "misaligned-address"
    /// The size is not a multiple of 4096.
    case misalignedSize = "misaligned-size"
    /// The size is 0; a slot is removed by leaving it out.
    case zeroSize = "zero-size"
    /// Address and size wrap 2^64.
    case addressOverflow = "address-overflow"
    /// The slot ends past the largest page that the VM's guest can have.
    case addressTooLarge = "address-too-large"
    /// More pages than a slot can have.
    case sizeTooLarge = "size-too-large"
    /// The userspace address is misaligned, or the range is not wholly in user space.
    case badUserspaceAddress = "bad-userspace-address"
    /// Two slots of an address space share a guest page.
    case overlap
    /// Two slots of an address space have one id.
    case duplicateSlot = "duplicate-slot"
    /// The id is not below the number of slots that the VM has.
    case slotOutOfRange = "slot-out-of-range"
    /// There is no such address space.
    case badAddressSpace = "bad-address-space"
    /// More slots in an address space than there are ids.
    case tooManySlots = "too-many-slots"
    /// A flag that the VM doesn't take, or `guest-memfd` with another.
    case unsupportedFlag = "unsupported-flag"
    /// KVM keeps this address for itself.
    case reservedAddress = "reserved-address"
    /// Neither a userspace address nor a memory object.
    case backingMissing = "backing-missing"
    /// A userspace address and a memory object.
    case backingAmbiguous = "backing-ambiguous"
    /// The slot reaches past the end of its memory object.
    case backingOutOfBounds = "backing-out-of-bounds"
    /// The offset into the memory object is not a multiple of its page size.
    case backingMisaligned = "backing-misaligned"
    /// There is no memory object of that name.
    case unknownMemory = "unknown-memory"
    /// A raw userspace address where only memory objects are taken.
    case rawAddressRefused = "raw-address-refused"
    /// A `guest-memfd` slot that names no guest_memfd.
    case guestMemfdMissing = "guest-memfd-missing"
    /// Two slots are bound to one part of a guest_memfd.
    case guestMemfdRangeBound = "guest-memfd-range-bound"

    /// What KVM answers to this fault; `nil` where it has no such fault.
    public var errno: Errno? {
        switch self {
        case .misalignedAddress, .misalignedSize, .zeroSize, .addressOverflow, .addressTooLarge,
            .sizeTooLarge, .badUserspaceAddress, .slotOutOfRange, .badAddressSpace,
            .unsupportedFlag, .guestMemfdRangeBound:
            .invalidArgument
        case .overlap, .reservedAddress: .fileExists
        case .guestMemfdMissing: .badFileDescriptor
        case .duplicateSlot, .tooManySlots, .backingMissing, .backingAmbiguous,
            .backingOutOfBounds, .backingMisaligned, .unknownMemory, .rawAddressRefused:
            nil
        }
    }
}
