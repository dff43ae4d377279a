import MemslotTestKit
import Memslots

/// The guest's memory: one memfd, and the slots that show parts of it.
struct Layout {
    let memory: GuestMemory
    /// Code and counters.
    let low: Memslot
    /// Where the guest works.
    let ram: Memslot
    /// Memory of a device, such as a screen.
    let bar: Memslot
    /// Memory that is plugged in later.
    let dimm: Memslot

    private static let part = GuestPlacement.lowBytes

    init() throws {
        memory = try GuestMemory(size: ByteCount(4 * Self.part.rawValue))
        let base = memory.base.rawValue
        func slot(_ id: UInt32, at address: UInt64) -> Memslot {
            Memslot(
                id: SlotID(id), guestPhysicalAddress: GuestPhysicalAddress(address),
                size: Self.part,
                userspaceAddress: UserspaceAddress(base + UInt64(id) * Self.part.rawValue))
        }
        low = slot(0, at: 0)
        ram = slot(1, at: 0x4000_0000)
        bar = slot(2, at: 0xe000_0000)
        dimm = slot(3, at: 0x1_0000_0000)
    }

    /// Before the guest runs.
    var atBoot: [Memslot] { [low, ram, bar] }

    /// The BAR where the guest's firmware would put it later.
    var movedBAR: Memslot {
        var slot = bar
        slot.guestPhysicalAddress = GuestPhysicalAddress(0xf000_0000)
        return slot
    }

    /// All but the RAM, after the BAR has moved.
    var devices: [Memslot] { [low, movedBAR, dimm] }

    func logged(_ slot: Memslot) -> Memslot {
        var slot = slot
        slot.flags.insert(.logDirtyPages)
        return slot
    }

    /// The same pages by two slots, the second under another id.
    func split(_ slot: Memslot) -> [Memslot] {
        var (first, second) = (slot, slot)
        first.size = ByteCount(slot.size.rawValue / 2)
        second.size = first.size
        second.id = SlotID(4)
        second.guestPhysicalAddress = first.guestPhysicalEnd
        second.userspaceAddress = UserspaceAddress(
            first.userspaceAddress.rawValue + first.size.rawValue)
        return [first, second]
    }
}
