import MemslotSimulator
import Memslots

/// Submits arrays to a table on the simulator.
///
/// The input edits a draft array and submits it several times; see ``PlanStep``. The kernel's rules
/// must accept each operation as what the plan claims, the result must be the submitted array, and a
/// failed submit must change nothing.
enum PlanFuzz {
    /// More in one input only costs time. A submit without ids may search for tenths of a second.
    private static let mostSlots = 48
    private static let mostSubmits = 6

    static func run(_ bytes: [UInt8]) -> String? {
        var choices = FuzzBytes(bytes)
        guard let vm = PlannedVM(choices.byte(), choices.byte()) else { return nil }
        var draft: [Memslot] = []
        var submits = 0
        while !choices.isAtEnd && submits < mostSubmits {
            switch PlanStep(&choices) {
            case .put(let slot):
                if draft.count < mostSlots { draft.append(slot) }
            case .drop(let index):
                if !draft.isEmpty { draft.remove(at: index % draft.count) }
            case .replace(let index, let slot):
                if !draft.isEmpty { draft[index % draft.count] = slot }
            case .move(let index, let address):
                if !draft.isEmpty { draft[index % draft.count].guestPhysicalAddress = address }
            case .toggleLog(let index):
                if !draft.isEmpty {
                    draft[index % draft.count].flags.formSymmetricDifference(.logDirtyPages)
                }
            case .touch(let address, let space):
                try? vm.backend.simulated.touch(address, size: .pages(1), in: space)
            case .fault(let operation, let times):
                vm.backend.simulated.inject(
                    FaultInjection(operation: operation, errno: PlannedVM.fault, times: times))
            case .submit:
                submits += 1
                if let broken = vm.submit(draft) { return broken }
            }
        }
        return vm.submit(draft)
    }
}

/// One step of a ``PlanFuzz`` input: a change of the draft in one to six bytes.
///
/// The universe is small, so that slots often overlap, alias and wait for each other.
enum PlanStep {
    case put(Memslot)
    case drop(Int)
    case replace(Int, Memslot)
    case move(Int, GuestPhysicalAddress)
    case toggleLog(Int)
    case touch(GuestPhysicalAddress, AddressSpaceID)
    case fault(operation: Int, times: Int)
    case submit

    init(_ choices: inout FuzzBytes) {
        switch choices.number(below: 16) {
        case 0...4: self = .put(Self.slot(&choices))
        case 5: self = .drop(Int(choices.byte()))
        case 6: self = .replace(Int(choices.byte()), Self.slot(&choices))
        case 7...9: self = .move(Int(choices.byte()), Self.address(&choices))
        case 10: self = .toggleLog(Int(choices.byte()))
        case 11:
            let address = Self.address(&choices)
            self = .touch(address, AddressSpaceID(UInt32(choices.number(below: 2))))
        case 12:
            let byte = choices.byte()
            self = .fault(operation: Int(byte & 31), times: Int(byte >> 5) + 1)
        default: self = .submit
        }
    }

    /// Five bytes: id and address space, address, size, backing, flags.
    private static func slot(_ choices: inout FuzzBytes) -> Memslot {
        let name = choices.byte()
        let address = address(&choices)
        let size = choices.byte()
        let backing = choices.byte()
        let flags = choices.byte()
        // With 31, the table picks the id.
        let id = name & 31
        return Memslot(
            id: id == 31 ? nil : SlotID(UInt32(id)),
            addressSpace: AddressSpaceID(UInt32(name >> 5 & 3)),
            guestPhysicalAddress: address,
            size: size < 240 ? .pages(UInt64(size % 16) + 1) : odd(size),
            userspaceAddress: backing < 240
                ? UserspaceAddress(0x7f00_0000_0000 + UInt64(backing % 32) << 12)
                : UserspaceAddress(odd(backing).rawValue),
            flags: MemslotFlags(rawValue: UInt32(flags & 7)),
            memory: flags & 8 == 0
                ? nil
                : MemoryReference(
                    object: MemoryObjectID(UInt32(flags >> 4 & 1) + 1),
                    offset: .pages(UInt64(backing % 32))))
    }

    private static func address(_ choices: inout FuzzBytes) -> GuestPhysicalAddress {
        let byte = choices.byte()
        return GuestPhysicalAddress(byte < 240 ? UInt64(byte % 64) << 12 : odd(byte).rawValue)
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

extension ByteCount {
    static func pages(_ count: UInt64) -> ByteCount { ByteCount(count << 12) }
}
