/// One fault of a submitted array.
public struct Violation: Error, Hashable, Sendable {
    /// Which rule is broken.
    public var kind: ViolationKind
    /// The slot's position in the submitted array; `nil` for a fault of the array as a whole.
    public var index: Int?
    /// The slot's id, where one was given.
    public var slot: SlotID?
    /// The slot's address space.
    public var addressSpace: AddressSpaceID
    /// The position of the other slot that has part in the fault.
    public var otherIndex: Int?
    /// The other slot's id, where one was given.
    public var otherSlot: SlotID?
    /// The slot's member that is at fault, by its name on the wire, such as `size`.
    public var member: String?
    /// What is wrong, with the values: the part of ``message`` after the place.
    public var detail: String
    /// What KVM itself would answer; `nil` where it has no such fault.
    public var errno: Errno?

    /// Makes a fault of the slot at `index`.
    ///
    /// - Parameters:
    ///   - kind: the rule.
    ///   - slot: the slot at fault; its id is left out where the table is to pick it.
    ///   - index: its position in the submitted array.
    ///   - member: the member at fault, by its name on the wire.
    ///   - detail: what is wrong, with the values.
    ///   - errno: what KVM would answer; by default as the kind has it.
    public init(
        _ kind: ViolationKind, of slot: Memslot, at index: Int, member: String? = nil,
        detail: String, errno: Errno? = nil
    ) {
        self.kind = kind
        self.index = index
        self.slot = slot.id == .unassigned ? nil : slot.id
        self.addressSpace = slot.addressSpace
        self.member = member
        self.detail = detail
        self.errno = errno ?? kind.errno
    }

    /// Makes a fault of all slots of `addressSpace` together.
    init(_ kind: ViolationKind, in addressSpace: AddressSpaceID, detail: String) {
        self.kind = kind
        self.addressSpace = addressSpace
        self.detail = detail
        self.errno = kind.errno
    }

    /// Names the other slot of the fault.
    func with(_ other: Memslot, at otherIndex: Int) -> Violation {
        var violation = self
        violation.otherIndex = otherIndex
        violation.otherSlot = other.id == .unassigned ? nil : other.id
        return violation
    }

    /// Where the fault is, such as `slots[3].size`.
    public var path: String {
        guard let index else { return "slots" }
        return member.map { "slots[\(index)].\($0)" } ?? "slots[\(index)]"
    }

    /// A sentence that says what and where.
    public var message: String {
        guard let index else { return detail }
        let name = slot.map { "slot \(SlotKey(addressSpace: addressSpace, id: $0))" }
        return "\(name ?? "a slot without id") at slots[\(index)]: \(detail)"
    }
}

/// An array that breaks rules: none of it took effect.
public struct InvalidArray: Error, Hashable, Sendable {
    /// The faults in array order, at most as many as were asked for; never empty.
    public var violations: [Violation]
    /// How many faults there are in all.
    public var count: Int

    /// The first fault's sentence, and how many there are.
    public var message: String {
        guard let first = violations.first else { return "the array is invalid" }
        return count == 1 ? first.message : "\(first.message) (\(count) faults in all)"
    }
}
