import CYardsticks
import MemslotKVM
import Memslots

struct SlotChange {
    let name: String
    let before, after: [Memslot]

    static let count = 513
    /// The user memory of all slots.
    static let bytes = ByteCount(UInt64(count) * 0x4000)

    /// Changes of 513 slots of four pages, one every 64 KiB, in ``bytes`` bytes from `base` on.
    static func all(base: UInt64) -> [SlotChange] {
        let slots = (0..<UInt64(count)).map { index in
            Memslot(
                id: SlotID(UInt32(index)),
                guestPhysicalAddress: GuestPhysicalAddress(0x100_0000 + index * 0x1_0000),
                size: .pages(4), userspaceAddress: UserspaceAddress(base + index * 0x4000))
        }
        func change(_ name: String, _ edit: (inout [Memslot]) -> Void) -> SlotChange {
            var after = slots
            edit(&after)
            return SlotChange(name: name, before: slots, after: after)
        }
        return [
            change("512 slots begin to log") { after in
                for index in 1..<after.count { after[index].flags = .logDirtyPages }
            },
            change("one slot split in three") { after in
                let start = slots[256].guestPhysicalAddress.rawValue
                let (first, rest) = slots[256].split(at: GuestPhysicalAddress(start + 0x1000))
                var (second, third) = rest.split(at: GuestPhysicalAddress(start + 0x3000))
                (second.id, third.id) = (SlotID(UInt32(count)), SlotID(UInt32(count + 1)))
                after[256] = first
                after += [second, third]
            }, change("a BAR moved") { $0[256].guestPhysicalAddress = 0x8000_0000 },
            change("two slots swapped") {
                $0[100].guestPhysicalAddress = slots[200].guestPhysicalAddress
                $0[200].guestPhysicalAddress = slots[100].guestPhysicalAddress
            },
        ]
    }
}

/// The operations of a plan as the regions that C applies.
struct RawCalls {
    let regions: [ys_slot]

    init(_ operations: [PlannedOperation]) {
        regions = operations.map { operation in
            operation.call.after.map(ys_slot.init) ?? ys_slot(deleting: operation.call.key.id)
        }
    }

    init(creating slots: [Memslot]) { regions = slots.map(ys_slot.init) }
    init(deleting slots: [Memslot]) { regions = slots.map { ys_slot(deleting: $0.assignedID) } }

    /// Applies them to a VM. Returns the nanoseconds.
    @discardableResult
    func apply(to vm: VirtualMachine) throws -> Double {
        let start = ys_now()
        let status = ys_set_regions(vm.descriptor, regions, regions.count)
        let span = ys_now() - start
        try require(status == 0, "a slot operation of C failed: errno \(-status)")
        return Double(span)
    }
}
