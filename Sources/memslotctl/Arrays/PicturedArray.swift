import MemslotPicture
import MemslotProtocol
import Memslots

/// An array without a VM behind it: names of memory get stand-in numbers and addresses.
struct PicturedArray {
    private(set) var slots: [Memslot] = []
    private(set) var names: [MemoryObjectID: String] = [:]
    private var numbers: [String: MemoryObjectID] = [:]

    /// Memory objects are thought to lie this far apart.
    private static let spacing: UInt64 = 1 << 32
    private static let firstBase: UInt64 = 1 << 40

    /// The slots of an answer.
    init(answer: JSONValue) {
        // What the service wrote can be read; anything else draws nothing.
        guard let file = try? ArrayFile(Array(answer.rawBytes)) else { return }
        append(file.slots)
    }

    /// The slots of files that name the same memory by the same names.
    init(_ parameters: [SlotParameters], naming other: PicturedArray? = nil) {
        names = other?.names ?? [:]
        numbers = other?.numbers ?? [:]
        append(parameters)
    }

    /// The map of the array.
    var map: MapPicture { MapPicture(slots: slots, names: names) }

    private mutating func append(_ parameters: [SlotParameters]) {
        for slot in parameters {
            let offset = slot.memoryOffset ?? .zero
            let memory = slot.memory.map {
                MemoryReference(object: number(of: $0), offset: offset)
            }
            slots.append(
                Memslot(
                    id: slot.slot.map { SlotID(UInt32(clamping: $0)) },
                    addressSpace: AddressSpaceID(UInt32(clamping: slot.addressSpace)),
                    guestPhysicalAddress: slot.guestPhysicalAddress, size: slot.size,
                    userspaceAddress: slot.userspaceAddress ?? standIn(for: memory),
                    flags: slot.flags, memory: memory))
        }
    }

    private mutating func number(of name: String) -> MemoryObjectID {
        if let number = numbers[name] { return number }
        let number = MemoryObjectID(UInt32(numbers.count + 1))
        numbers[name] = number
        names[number] = name
        return number
    }

    private func standIn(for memory: MemoryReference?) -> UserspaceAddress {
        guard let memory else { return UserspaceAddress(Self.firstBase) }
        let base = Self.firstBase &+ UInt64(memory.object.rawValue) &* Self.spacing
        return UserspaceAddress(base &+ memory.offset.rawValue)
    }
}
