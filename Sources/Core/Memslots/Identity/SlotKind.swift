/// All that KVM can't change in place.
struct SlotKind: Hashable {
    private let slot: Memslot

    init(_ slot: Memslot) {
        var slot = slot
        slot.id = nil
        slot.guestPhysicalAddress = GuestPhysicalAddress(0)
        slot.flags.remove(.logDirtyPages)
        self.slot = slot
    }

    /// Slots of equal size at one userspace address are rare but for aliases.
    func hash(into hasher: inout Hasher) {
        hasher.combine(slot.userspaceAddress.rawValue)
        hasher.combine(slot.memoryOffset.rawValue)
        hasher.combine(slot.size.rawValue)
    }
}
