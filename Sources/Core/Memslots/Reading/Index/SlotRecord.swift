/// What a lookup needs of a slot, in half a cache line.
@usableFromInline
struct SlotRecord: Sendable {
    /// The first guest physical address.
    @usableFromInline var start: UInt64
    /// Bytes; 0 in a record that stands for no slot.
    @usableFromInline var size: UInt64
    /// The userspace address of `start`.
    @usableFromInline var userspaceAddress: UInt64
    /// The slot's id in its address space.
    @usableFromInline var id: UInt32
    /// The slot's position in the array, above the three bits of its flags.
    @usableFromInline var positionAndFlags: UInt32

    init(_ slot: Memslot, position: UInt32) {
        start = slot.guestPhysicalAddress.rawValue
        size = slot.size.rawValue
        userspaceAddress = slot.userspaceAddress.rawValue
        id = slot.assignedID.rawValue
        positionAndFlags = position << 3 | slot.flags.rawValue & 7
    }

    /// A record that no address is in.
    private init() { (start, size, userspaceAddress, id, positionAndFlags) = (0, 0, 0, 0, 0) }

    /// Stands before all slots of an address space.
    static let before = SlotRecord()

    @inlinable var position: UInt32 { positionAndFlags >> 3 }
    @inlinable var flags: MemslotFlags { MemslotFlags(rawValue: positionAndFlags & 7) }
}
