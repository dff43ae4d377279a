import MemslotSimulator
import Memslots

/// Submits arrays to a table on the simulator. The input edits a draft array in steps of one to six
/// bytes, and submits it several times. The universe is small, so that slots often overlap, alias
/// and wait for each other. The kernel's rules must accept each operation as what the plan claims,
/// the result must be the submitted array, and a failed submit must change nothing.
enum PlanFuzz {
    /// More in one input only costs time. A submit without ids may search for tenths of a second.
    private static let mostSlots = 48
    private static let mostSubmits = 6

    static func run(_ bytes: [UInt8]) -> String? {
        var choices = FuzzBytes(bytes)
        guard let vm = PlannedVM(choices.byte(), choices.byte()) else { return nil }
        let unit = vm.backend.capabilities.slotGranule
        var draft: [Memslot] = []
        var submits = 0
        while !choices.isAtEnd && submits < mostSubmits {
            switch choices.number(below: 16) {
            case 0...4:
                let slot = choices.slot(unit)
                if draft.count < mostSlots { draft.append(slot) }
            case 5:
                let index = Int(choices.byte())
                if !draft.isEmpty { draft.remove(at: index % draft.count) }
            case 6:
                let (index, slot) = (Int(choices.byte()), choices.slot(unit))
                if !draft.isEmpty { draft[index % draft.count] = slot }
            case 7...9:
                let (index, address) = (Int(choices.byte()), choices.address(unit))
                if !draft.isEmpty { draft[index % draft.count].guestPhysicalAddress = address }
            case 10:
                let index = Int(choices.byte())
                if !draft.isEmpty {
                    draft[index % draft.count].flags.formSymmetricDifference(.logDirtyPages)
                }
            case 11:
                let address = choices.address(unit)
                let space = AddressSpaceID(UInt32(choices.number(below: 2)))
                try? vm.backend.simulated.touch(address, size: unit, in: space)
            case 12:
                let byte = choices.byte()
                vm.backend.simulated.inject(
                    FaultInjection(
                        operation: Int(byte & 31), errno: PlannedVM.fault, times: Int(byte >> 5) + 1
                    ))
            default:
                submits += 1
                if let broken = vm.submit(draft) { return broken }
            }
        }
        return vm.submit(draft)
    }
}

extension FuzzBytes {
    /// Five bytes: id and address space, address, size, backing, flags.
    fileprivate mutating func slot(_ unit: ByteCount) -> Memslot {
        let (name, address) = (byte(), address(unit))
        let (size, backing, flags) = (byte(), byte(), byte())
        // With 31, the table picks the id.
        let id = name & 31
        return Memslot(
            id: id == 31 ? nil : SlotID(UInt32(id)),
            addressSpace: AddressSpaceID(UInt32(name >> 5 & 3)), guestPhysicalAddress: address,
            size: size < 240 ? ByteCount((UInt64(size % 16) + 1) * unit.rawValue) : Self.odd(size),
            userspaceAddress: backing < 240
                ? UserspaceAddress(0x7f00_0000_0000 + UInt64(backing % 32) * unit.rawValue)
                : UserspaceAddress(Self.odd(backing).rawValue),
            flags: MemslotFlags(rawValue: UInt32(flags & 7)),
            memory: flags & 8 == 0
                ? nil
                : MemoryReference(
                    object: MemoryObjectID(UInt32(flags >> 4 & 1) + 1),
                    offset: ByteCount(UInt64(backing % 32) * unit.rawValue)))
    }

    fileprivate mutating func address(_ unit: ByteCount) -> GuestPhysicalAddress {
        let byte = byte()
        return GuestPhysicalAddress(
            byte < 240 ? UInt64(byte % 64) * unit.rawValue : Self.odd(byte).rawValue)
    }

    /// Numbers at the limits of rules.
    private static func odd(_ byte: UInt8) -> ByteCount {
        let numbers: [UInt64] = [
            0, 1, 4_095, 4_097, .max, .max - 4_095, 1 << 63, (1 << 43) - 4_096, 1 << 43, 1 << 52,
            (1 << 52) - 4_096, 0x7fff_ffff_f000, 0x7fff_ffff_e000, 1 << 47, 1 << 32, 1 << 20,
        ]
        return ByteCount(numbers[Int(byte) % numbers.count])
    }
}
