import Glibc
import MemslotProtocol
import MemslotScenario
import MemslotService
import Memslots

/// A connection to the service within the process, by lines of JSON.
struct WireLine {
    private let world: World
    let connection: ServiceConnection

    init(_ world: World, _ name: String, events: EventQueue?, user: UInt32 = getuid()) {
        self.world = world
        let number = UInt64(world.shape.actors.firstIndex(of: name) ?? 0) + 1
        connection = ServiceConnection(peer: Peer(user: user, connection: number), events: events)
    }

    /// Sends a request with parameters as JSON text. Returns its reply; `nil` if there is none.
    func call(_ method: String, _ parameters: String) -> JSONValue? {
        let line = "{\"id\":7,\"method\":\"\(method)\",\"params\":\(parameters)}"
        let replies = world.service.respond(
            to: RequestDecoder().decode(Array(line.utf8)), on: connection)
        guard let reply = Self.parse(replies.finish()), reply["id"]?.int == 7 else { return nil }
        return reply
    }

    static func parse(_ line: [UInt8]) -> JSONValue? { try? JSONDocument(parsing: line).root }
}

/// An array in its form on the wire, with all slots in the one mapping.
struct WireArray {
    let generation: Generation
    /// Whether the slots are those of a failed table.
    let isInstalled: Bool
    let slots: [Memslot]
    let privateRanges: [GuestRange]

    init?(_ value: JSONValue) {
        guard let generation = value["generation"]?.uint64, value["slots"] != nil,
            let file = try? ArrayFile(Array(value.rawBytes))
        else { return nil }
        self.generation = Generation(generation)
        isInstalled = value["installed"]?.bool == true
        slots = file.slots.map(Self.slot).sorted { $0.assignedKey < $1.assignedKey }
        privateRanges = (file.attributes.map { Array($0.elements) } ?? []).compactMap {
            let range = try? ParameterReader.read($0, line: 1, as: PrivateRangeParameters.self)
            return range.map { GuestRange(address: $0.guestPhysicalAddress, size: $0.size) }
        }
    }

    private static func slot(_ slot: SlotParameters) -> Memslot {
        Memslot(
            id: slot.slot.map { SlotID(UInt32(truncatingIfNeeded: $0)) },
            addressSpace: AddressSpaceID(UInt32(truncatingIfNeeded: slot.addressSpace)),
            guestPhysicalAddress: slot.guestPhysicalAddress, size: slot.size,
            userspaceAddress: UserspaceAddress(
                MachineShape.memory.rawValue &+ (slot.memoryOffset?.rawValue ?? 0)),
            flags: slot.flags)
    }

    static func parameters(of submission: Submission) -> String {
        var writer = JSONWriter()
        writer.object {
            $0.member("vm", World.vm)
            $0.member("quiesce", submission.options.quiesce.rawValue)
            $0.member("quiesceDeadlineMs", submission.deadline)
            $0.list("slots", submission.slots) { writer, slot in
                let offset = slot.userspaceAddress.rawValue - MachineShape.memory.rawValue
                writer.object {
                    $0.member("slot", slot.id.map { UInt64($0.rawValue) })
                    $0.member("addressSpace", UInt64(slot.addressSpace.rawValue))
                    $0.member("guestPhysicalAddress", address: slot.guestPhysicalAddress.rawValue)
                    $0.member("size", address: slot.size.rawValue)
                    $0.members(of: .memory(name: "ram", offset: ByteCount(offset)))
                    $0.member(flags: slot.flags)
                }
            }
            if let ranges = submission.options.privateRanges {
                $0.member(attributes: ranges.map { ($0, nil) }, evenIfEmpty: true)
            }
            $0.member("expectedGeneration", submission.options.expectedGeneration?.rawValue)
        }
        return String(decoding: writer.bytes, as: UTF8.self)
    }
}
