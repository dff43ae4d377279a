import MemslotService
import MemslotSimulator
import MemslotTestKit
import Memslots

struct MachineShape {
    let spaces, hooks: Int
    let dirtyLogProtection: DirtyLogProtection
    let actors: [String]

    /// Guest pages that slots may use.
    static let universe = 16
    /// Slot ids in an address space.
    static let ids = 5
    /// Pages of the mapping behind all slots: few, so that slots alias.
    static let hostPages = 8
    /// Pages of the largest slot.
    static let largest = 4
    /// The address of the mapping. Nothing is mapped, because a simulator does not access it.
    static let memory = UserspaceAddress(0x7f00_0000_0000)

    /// So few that two hostile users would use up nearly all without the reserve.
    static var limits: ServiceLimits {
        var limits = ServiceLimits()
        (limits.vmsPerPeer, limits.slots, limits.slotsPerPeer) = (4, 384, 190)
        return limits
    }

    init(seed: UInt64) {
        var random = SeededRandom(seed: seed, "shape")
        spaces = random.draw(1...2)
        hooks = random.draw(0...2)
        dirtyLogProtection =
            random.once(in: 4) ? .manual : random.once(in: 4) ? .manualInitiallySet : .automatic
        let counts = [
            ("client", random.draw(1...3)), ("wire", random.draw(1...2)),
            ("vcpu", random.draw(1...3)), ("reader", random.draw(1...2)),
            ("fast", random.draw(1...2)),
            ("dirty", 1), ("faults", 1), ("subscriber", random.draw(1...2)), ("witness", 1),
            ("operator", 1), ("hostile", 2), ("backend", 1),
        ]
        actors = counts.flatMap { name, count in (0..<count).map { "\(name)-\($0)" } }
    }
}

/// Draws arrays on few pages, so that slots often overlap, move and alias.
struct RandomArrays {
    let spaces: Int

    /// Draws an array with most of the slots of `array`: some moved, reflagged, replaced or removed.
    func near(_ array: [Memslot], _ random: inout SeededRandom) -> [Memslot] {
        var slots: [Memslot] = []
        // A plan that only adds slots and starts logging runs beside the guest.
        let onlyAdds = random.once(in: 3)
        if onlyAdds { slots = array.map { random.once(in: 5) ? $0.logging(true) : $0 } }
        for old in onlyAdds ? [] : array.shuffled(using: &random) {
            var slot = old
            switch random.draw(0...11) {
            case 0: continue
            case 1...2: slot.guestPhysicalAddress = address(&random)
            case 5: slot.flags.formSymmetricDifference(.readOnly)
            case 6: slot = draw(old.assignedKey, &random)
            case 7...8: swap(&slot, with: &slots, &random)
            default: break
            }
            if random.once(in: 5) { slot.flags.formSymmetricDifference(.logDirtyPages) }
            add(slot, to: &slots)
        }
        for _ in 0..<random.draw(0...(slots.count < 4 ? 4 : 2)) {
            let key = SlotKey(
                addressSpace: AddressSpaceID(UInt32(random.draw(0...spaces - 1))),
                id: SlotID(UInt32(random.draw(0...MachineShape.ids - 1))))
            let slot = draw(key, &random)
            if !slots.contains(where: { $0.key == slot.assignedKey }) { add(slot, to: &slots) }
        }
        if random.once(in: 6), !slots.isEmpty { slots[random.draw(0...slots.count - 1)].id = nil }
        return slots
    }

    /// Returns `array` with an additional slot that overlaps another one or is misaligned.
    func broken(_ array: [Memslot], _ random: inout SeededRandom) -> [Memslot] {
        var slot = draw(SlotKey(id: SlotID(UInt32(MachineShape.ids))), &random)
        if let other = array.randomElement(using: &random), random.once(in: 2) {
            slot.addressSpace = other.addressSpace
            slot.guestPhysicalAddress = other.guestPhysicalAddress
        } else {
            slot.guestPhysicalAddress = GuestPhysicalAddress(slot.guestPhysicalAddress.rawValue + 1)
        }
        return array + [slot]
    }

    /// Draws private ranges, some of which touch each other.
    func privateRanges(_ random: inout SeededRandom) -> [GuestRange] {
        let scarcity = random.draw(2...12)
        return (0..<MachineShape.universe).filter { _ in random.once(in: scarcity) }.reversed().map
        {
            GuestRange(address: GuestPhysicalAddress(UInt64($0) * 4096), size: .pages(1))
        }
    }

    private func add(_ slot: Memslot, to slots: inout [Memslot]) {
        if !slots.contains(where: { $0.overlaps(slot) }) { slots.append(slot) }
    }

    /// Swaps the slot with another of its size: the plan must break a cycle.
    private func swap(
        _ slot: inout Memslot, with slots: inout [Memslot], _ random: inout SeededRandom
    ) {
        let (size, space) = (slot.size, slot.addressSpace)
        guard
            let other = slots.indices.filter({
                slots[$0].size == size && slots[$0].addressSpace == space
            }).randomElement(using: &random)
        else { return }
        var moved = slots[other]
        Swift.swap(&slot.guestPhysicalAddress, &moved.guestPhysicalAddress)
        slots.remove(at: other)
        add(moved, to: &slots)
    }

    private func address(_ random: inout SeededRandom) -> GuestPhysicalAddress {
        GuestPhysicalAddress(UInt64(random.draw(0...MachineShape.universe - 1)) * 4096)
    }

    private func draw(_ key: SlotKey, _ random: inout SeededRandom) -> Memslot {
        let pages = random.draw(1...MachineShape.largest)
        let host = random.draw(0...MachineShape.hostPages - pages)
        let flags: [MemslotFlags] = [
            [], .logDirtyPages, .logDirtyPages, .logDirtyPages, .readOnly,
            [.logDirtyPages, .readOnly],
        ]
        return Memslot(
            id: key.id, addressSpace: key.addressSpace, guestPhysicalAddress: address(&random),
            size: ByteCount(UInt64(pages) * 4096),
            userspaceAddress: UserspaceAddress(MachineShape.memory.rawValue + UInt64(host) * 4096),
            flags: flags.randomElement(using: &random) ?? [])
    }
}
