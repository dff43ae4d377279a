import CMemslots
import Memslots

extension Memslot {
    /// Converts a slot from C. The submit validates it with its array.
    init(_ slot: memslots_slot) {
        let flags = MemslotFlags(rawValue: slot.flags)
        self.init(
            id: SlotID(slot.slot), addressSpace: AddressSpaceID(slot.address_space),
            guestPhysicalAddress: GuestPhysicalAddress(slot.guest_physical_address),
            size: ByteCount(slot.size), userspaceAddress: UserspaceAddress(slot.userspace_address),
            flags: flags,
            memory: MemoryReference(
                object: MemoryObjectID(slot.memory_object), offset: ByteCount(slot.memory_offset)),
            guestMemfd: flags.contains(.guestMemfd)
                ? GuestMemfdBinding(
                    descriptor: slot.guest_memfd, offset: ByteCount(slot.guest_memfd_offset))
                : nil)
    }
}

extension memslots_slot {
    /// Converts `slot`; a slot of size 0 if it is `nil`.
    init(_ slot: Memslot?) {
        self.init()
        guard let slot else { return }
        self.slot = slot.assignedID.rawValue
        address_space = slot.addressSpace.rawValue
        guest_physical_address = slot.guestPhysicalAddress.rawValue
        size = slot.size.rawValue
        userspace_address = slot.userspaceAddress.rawValue
        flags = slot.flags.rawValue
        memory_object = slot.memory?.object.rawValue ?? 0
        memory_offset = slot.memory?.offset.rawValue ?? 0
        guest_memfd = slot.guestMemfd?.descriptor ?? -1
        guest_memfd_offset = slot.guestMemfd?.offset.rawValue ?? 0
    }
}

func slots(_ list: UnsafePointer<memslots_slot>?, _ count: Int) throws(Problem) -> [Memslot] {
    if count == 0 { return [] }
    guard let list else { throw .badArgument("slots is NULL, but the count is not 0") }
    guard count > 0, count <= 1 << 24 else { throw .badArgument("no VM can have that many slots") }
    return UnsafeBufferPointer(start: list, count: count).map(Memslot.init)
}

extension memslots_operation {
    init(_ operation: PlannedOperation) {
        self.init()
        switch operation.call {
        case .create: call = UInt32(MEMSLOTS_CREATE)
        case .delete: call = UInt32(MEMSLOTS_DELETE)
        case .move: call = UInt32(MEMSLOTS_MOVE)
        case .reflag: call = UInt32(MEMSLOTS_REFLAG)
        }
        before = memslots_slot(operation.call.before)
        after = memslots_slot(operation.call.after)
    }
}

extension memslots_change {
    init(_ change: MemslotChange) {
        let (kind, before, after): (Int, Memslot?, Memslot?) =
            switch change {
            case .added(let slot): (MEMSLOTS_ADDED, nil, slot)
            case .removed(let slot): (MEMSLOTS_REMOVED, slot, nil)
            case .moved(let from, let to): (MEMSLOTS_MOVED, from, to)
            case .reflagged(let from, let to): (MEMSLOTS_REFLAGGED, from, to)
            }
        self.init()
        self.kind = UInt32(kind)
        (self.before, self.after) = (memslots_slot(before), memslots_slot(after))
    }
}
