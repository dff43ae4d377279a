import CYardsticks
import MemslotTestKit
import Memslots

enum BenchmarkArray {
    static let sizes = [8, 64, 512, 4_096, 32_764]

    /// `count` slots of 1 to 16 pages, ascending by id, each followed by a gap of one page.
    static func slots(_ count: Int) -> [Memslot] {
        var random = SeededRandom(seed: 1)
        var guest: UInt64 = 0x10_0000
        var user: UInt64 = 0x1000_0000_0000
        return (0..<UInt32(count)).map { id in
            let size = (1 + random.next() % 16) * pageSize.rawValue
            defer {
                guest += size + pageSize.rawValue
                user += size
            }
            return Memslot(
                id: SlotID(id), guestPhysicalAddress: GuestPhysicalAddress(guest),
                size: ByteCount(size), userspaceAddress: UserspaceAddress(user))
        }
    }

    /// About `changes` in turns: reflagged, moved, resized, mapped elsewhere, removed.
    static func changed(_ slots: [Memslot], _ changes: Int) -> [Memslot] {
        guard changes > 0 else { return slots }
        var result = slots
        var isRemoved = [Bool](repeating: false, count: slots.count)
        let step = max(slots.count / changes, 1)
        var free = (slots.last?.guestPhysicalEnd.rawValue ?? 0) + (1 << 30)
        for (turn, index) in stride(from: step / 2, to: slots.count, by: step).enumerated() {
            switch turn % 5 {
            case 0: result[index].flags = .logDirtyPages
            case 1:
                result[index].guestPhysicalAddress = GuestPhysicalAddress(free)
                free += slots[index].size.rawValue
            case 2: result[index].size = slots[index].size.rawValue > 4_096 ? .pages(1) : .pages(2)
            case 3:
                result[index].userspaceAddress = UserspaceAddress(
                    slots[index].userspaceAddress.rawValue + (1 << 40))
            default: isRemoved[index] = true
            }
        }
        return zip(result, isRemoved).filter { !$0.1 }.map(\.0)
    }

    /// Two arrays that differ in the address of one slot, to be committed in turns.
    static func alternating(_ count: Int) -> [[Memslot]] {
        let slots = slots(count)
        var other = slots
        let free = (slots.last?.guestPhysicalEnd.rawValue ?? 0) + (1 << 30)
        other[count / 2].guestPhysicalAddress = GuestPhysicalAddress(free)
        return [slots, other]
    }
}

extension ys_slot {
    init(_ slot: Memslot) {
        self.init(
            id: slot.assignedID.rawValue, flags: slot.flags.rawValue,
            guest: slot.guestPhysicalAddress.rawValue, size: slot.size.rawValue,
            host: slot.userspaceAddress.rawValue, memory: 0)
    }

    /// As a region that deletes the slot.
    init(deleting id: SlotID) {
        self.init(id: id.rawValue, flags: 0, guest: 0, size: 0, host: 0, memory: 0)
    }
}
