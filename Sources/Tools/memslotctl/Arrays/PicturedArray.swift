import MemslotPicture
import MemslotProtocol
import MemslotScenario
import Memslots

/// An array without a VM: memory objects have placeholder numbers and addresses.
struct PicturedArray {
    private(set) var slots: [Memslot] = []
    private(set) var names: [MemoryObjectID: String] = [:]
    /// The faults of the slots' backing, ascending by index.
    private(set) var faults: [Violation] = []
    private var numbers: [Name: MemoryObjectID] = [:]

    /// The distance between the placeholder addresses of two memory objects.
    private static let spacing: UInt64 = 1 << 32
    private static let firstBase: UInt64 = 1 << 40

    init(result: JSONValue) {
        // A service's result can be decoded; anything else draws nothing.
        guard let file = try? ArrayFile(Array(result.rawBytes)) else { return }
        append(file.slots)
    }

    /// The slots of a file; equal memory names have the same number as in `other`.
    init(_ parameters: [SlotParameters], naming other: PicturedArray? = nil) {
        names = other?.names ?? [:]
        numbers = other?.numbers ?? [:]
        append(parameters)
    }

    var map: MapPicture { MapPicture(slots: slots, names: names) }

    private mutating func append(_ parameters: [SlotParameters]) {
        for (index, slot) in parameters.enumerated() {
            let offset = slot.memoryOffset ?? .zero
            let object =
                slot.memory.map { number(of: $0) } ?? slot.opaque.map { number(hidden: $0) }
            let memory = object.map { MemoryReference(object: $0, offset: offset) }
            let pictured = Memslot(
                // The largest number means "omitted"; the next lower one is out of range too.
                id: slot.slot.map { SlotID(UInt32(min($0, UInt64(UInt32.max) - 1))) },
                addressSpace: AddressSpaceID(UInt32(clamping: slot.addressSpace)),
                guestPhysicalAddress: slot.guestPhysicalAddress, size: slot.size,
                userspaceAddress: slot.userspaceAddress ?? placeholder(for: memory),
                flags: slot.flags, memory: memory,
                guestMemfd: slot.guestMemfd.map {
                    GuestMemfdBinding(
                        descriptor: Int32(number(of: $0).rawValue),
                        offset: slot.guestMemfdOffset ?? .zero)
                })
            if let kind = slot.backingFault {
                faults.append(
                    Violation(
                        kind, of: pictured, at: index, member: nil,
                        detail: kind == .backingMissing
                            ? "give userspaceAddress, or memory"
                            : "userspaceAddress and memory are both given"))
            }
            slots.append(pictured)
        }
    }

    private mutating func number(of name: String) -> MemoryObjectID {
        if let number = numbers[Name(name)] { return number }
        let number = MemoryObjectID(UInt32(numbers.count + 1))
        numbers[Name(name)] = number
        names[number] = name
        return number
    }

    /// Memory that a service identifies without its location.
    private mutating func number(hidden token: String) -> MemoryObjectID {
        // No memory name starts with this character.
        let number = number(of: "\0" + token)
        names[number] = ""
        return number
    }

    private func placeholder(for memory: MemoryReference?) -> UserspaceAddress {
        guard let memory else { return UserspaceAddress(Self.firstBase) }
        let base = Self.firstBase &+ UInt64(memory.object.rawValue) &* Self.spacing
        return UserspaceAddress(base &+ memory.offset.rawValue)
    }
}

extension SlotParameters {
    /// The fault of the slot's backing; `nil` if there is none.
    fileprivate var backingFault: ViolationKind? {
        switch (userspaceAddress, memory) {
        case (nil, nil): .backingMissing
        case (_?, _?): .backingAmbiguous
        default: nil
        }
    }
}
