/// One fault of a submitted array.
public struct Violation: Error, Hashable, Sendable, CustomStringConvertible {
    /// Which rule is broken.
    public var kind: ViolationKind
    /// The member of a submit that has the fault.
    package var list = List.slots
    /// The slot's, or the private range's, position in its list, which ``path`` names; `nil` for a fault
    /// of the list as a whole.
    public var index: Int?
    /// The slot's id, where one was given.
    public var slot: SlotID?
    /// The slot's address space.
    public var addressSpace: AddressSpaceID
    /// The position of the other slot of the fault, such as an overlap.
    public var otherIndex: Int?
    /// The other slot's id, where one was given.
    public var otherSlot: SlotID?
    /// The slot's member that is at fault, by its name on the wire, such as `size`.
    public var member: String?
    /// What is wrong, with the values: the part of ``message`` after the position.
    public var detail: String
    /// The error that KVM itself would return; `nil` if it has no such fault.
    public var errno: Errno?

    /// Creates a fault of the slot at `index`.
    ///
    /// - Parameters:
    ///   - kind: the rule.
    ///   - slot: the slot at fault.
    ///   - index: its position in the submitted array.
    ///   - member: the member at fault, by its name on the wire.
    ///   - detail: what is wrong, with the values.
    ///   - errno: the error that KVM would return; by default that of the kind.
    package init(
        _ kind: ViolationKind, of slot: Memslot, at index: Int, member: String? = nil,
        detail: String, errno: Errno? = nil
    ) {
        (self.kind, self.index) = (kind, index)
        (self.slot, self.addressSpace) = (slot.id, slot.addressSpace)
        (self.member, self.detail) = (member, detail)
        self.errno = errno ?? kind.errno
    }

    init(_ kind: ViolationKind, in addressSpace: AddressSpaceID, detail: String) {
        (self.kind, self.addressSpace, self.detail) = (kind, addressSpace, detail)
        self.errno = kind.errno
    }

    /// The lists of a submit: its slots, and its private ranges.
    package enum List: String, Hashable, Sendable {
        case slots, attributes

        var noun: String { self == .slots ? "slot" : "range" }
    }

    func with(_ other: Memslot, at otherIndex: Int) -> Violation {
        var violation = self
        violation.otherIndex = otherIndex
        violation.otherSlot = other.id
        return violation
    }

    /// The path of the fault in the array, such as `slots[3].size`.
    public var path: String {
        guard let index else { return list.rawValue }
        return member.map { "\(list)[\(index)].\($0)" } ?? "\(list)[\(index)]"
    }

    /// A sentence that says what and where.
    public var message: String {
        guard let index else { return detail }
        if list != .slots { return "\(list)[\(index)]: \(detail)" }
        let name = slot.map { "slot \(SlotKey(addressSpace: addressSpace, id: $0))" }
        return "\(name ?? "a slot without id") at slots[\(index)]: \(detail)"
    }

    /// The message.
    public var description: String { message }
}

/// An array that breaks rules: none of it took effect.
public struct InvalidArray: Error, Hashable, Sendable, CustomStringConvertible {
    /// The faults in array order, at most ``TableLimits/violations``; never empty.
    public var violations: [Violation]
    /// The number of faults in all.
    public var count: Int

    /// The first fault's sentence, and how many there are.
    public var message: String {
        guard let first = violations.first else { return "the array is invalid" }
        return count == 1 ? first.message : "\(first.message) (\(count) faults in all)"
    }

    /// The message.
    public var description: String { message }
}

/// The rules that a submitted array may break, by the names that the wire and the logs use.
public enum ViolationKind: String, CaseIterable, Hashable, Sendable {
    // In the order in which the faults of one slot are listed: backing first, since it is resolved
    // first, then the kernel's check order.

    /// Neither a userspace address nor a memory object.
    case backingMissing = "backing-missing"
    /// A userspace address and a memory object.
    case backingAmbiguous = "backing-ambiguous"
    /// There is no memory object of that name.
    case unknownMemory = "unknown-memory"
    /// A raw userspace address where only memory objects are accepted.
    case rawAddressRefused = "raw-address-refused"
    /// The slot reaches past the end of its memory object.
    case backingOutOfBounds = "backing-out-of-bounds"
    /// The offset into the memory object is not a multiple of its page size.
    case backingMisaligned = "backing-misaligned"
    /// The id is not below the number of slots that the VM has.
    case slotOutOfRange = "slot-out-of-range"
    /// A flag that the VM doesn't accept, or `guest-memfd` with another; or private ranges where the
    /// VM has no memory attributes.
    case unsupportedFlag = "unsupported-flag"
    /// The size is not a multiple of the VM's page.
    case misalignedSize = "misaligned-size"
    /// The size is 0; a slot is removed by leaving it out.
    case zeroSize = "zero-size"
    /// The guest physical address is not a multiple of the VM's page.
    case misalignedAddress = "misaligned-address"
    /// The userspace address is misaligned, or the range is not wholly in user space.
    case badUserspaceAddress = "bad-userspace-address"
    /// A `guest-memfd` slot that names no guest_memfd.
    case guestMemfdMissing = "guest-memfd-missing"
    /// There is no such address space.
    case badAddressSpace = "bad-address-space"
    /// Address and size wrap 2^64.
    case addressOverflow = "address-overflow"
    /// More pages than a slot can have.
    case sizeTooLarge = "size-too-large"
    /// Two slots of an address space have one id.
    case duplicateSlot = "duplicate-slot"
    /// Two slots of an address space share a guest page.
    case overlap
    /// Two slots are bound to one part of a guest_memfd.
    case guestMemfdRangeBound = "guest-memfd-range-bound"
    /// KVM keeps this address for itself.
    case reservedAddress = "reserved-address"
    /// The slot ends past the largest page that the VM's guest can have.
    case addressTooLarge = "address-too-large"
    /// More slots in an address space than there are ids.
    case tooManySlots = "too-many-slots"

    /// The error that KVM returns for this fault; `nil` if it has no such fault.
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
