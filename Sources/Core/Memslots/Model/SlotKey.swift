/// What names a memslot in a VM: its address space and its id there.
///
/// Ordered by address space, then id, which is the order of every list of slots.
public struct SlotKey: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The address space.
    public var addressSpace: AddressSpaceID
    /// The id within the address space.
    public var id: SlotID

    /// Names the slot `id` of `addressSpace`.
    @inlinable
    public init(addressSpace: AddressSpaceID = .main, id: SlotID) {
        self.addressSpace = addressSpace
        self.id = id
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
