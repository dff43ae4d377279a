import Glibc
import MemslotProtocol
import MemslotService
import Memslots

/// A connection to the service within the process, by lines of JSON.
struct WireLine {
    private let world: World
    let connection: ServiceConnection

    init(_ world: World, _ name: String, events: EventQueue?) {
        self.world = world
        let number = UInt64(world.shape.actors.firstIndex(of: name) ?? 0) + 1
        connection = ServiceConnection(
            peer: Peer(user: getuid(), connection: number), events: events)
    }

    /// Calls `method` with parameters as JSON text.
    ///
    /// - Returns: the reply; `nil` if there is none to this request.
    func call(_ method: String, _ parameters: String) -> JSONValue? {
        let line = "{\"id\":7,\"method\":\"\(method)\",\"params\":\(parameters)}"
        let replies = world.service.respond(
            to: RequestDecoder().decode(Array(line.utf8)), on: connection)
        guard let reply = Self.parse(replies.finish()), reply["id"]?.int == 7 else { return nil }
        return reply
    }

    static func parse(_ line: [UInt8]) -> JSONValue? {
        do throws(JSONError) { return try JSONDocument(parsing: line).root } catch { return nil }
    }
}

/// An array in its form on the wire, with all slots in the one mapping.
struct WireArray {
    let generation: Generation
    /// Whether the slots are those of a failed table.
    let isInstalled: Bool
    let slots: [Memslot]

    init?(_ value: JSONValue) {
        guard let generation = value["generation"]?.uint64, let list = value["slots"] else {
            return nil
        }
        self.generation = Generation(generation)
        isInstalled = value["installed"]?.bool == true
        slots = list.elements.compactMap(Self.slot).sorted { $0.assignedKey < $1.assignedKey }
    }

    private static func slot(_ value: JSONValue) -> Memslot? {
        guard let id = value["slot"]?.uint64, let address = quantity(value, "guestPhysicalAddress"),
            let size = quantity(value, "size"), let offset = quantity(value, "memoryOffset")
        else { return nil }
        var flags: MemslotFlags = []
        for name in value["flags"].map({ $0.elements.compactMap(\.string) }) ?? [] {
            for known in MemslotFlags.wireNames where known.name == name {
                flags.insert(known.flag)
            }
        }
        return Memslot(
            id: SlotID(UInt32(truncatingIfNeeded: id)),
            addressSpace: AddressSpaceID(
                UInt32(truncatingIfNeeded: value["addressSpace"]?.uint64 ?? 0)),
            guestPhysicalAddress: GuestPhysicalAddress(address), size: ByteCount(size),
            userspaceAddress: UserspaceAddress(MachineShape.memory.rawValue &+ offset),
            flags: flags)
    }

    private static func quantity(_ value: JSONValue, _ name: String) -> UInt64? {
        guard let member = value[name] else { return nil }
        guard let text = member.string else { return member.uint64 }
        return text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : nil
    }

    static func parameters(of submission: Submission, vm: String) -> String {
        var members = [
            "\"vm\":\"\(vm)\"", "\"quiesce\":\"\(submission.quiesce.rawValue)\"",
            "\"quiesceDeadlineMs\":\(submission.deadline)",
            "\"slots\":[\(submission.slots.map(text).joined(separator: ","))]",
        ]
        if let expected = submission.expected {
            members.append("\"expectedGeneration\":\(expected)")
        }
        return "{\(members.joined(separator: ","))}"
    }

    private static func text(_ slot: Memslot) -> String {
        let offset = slot.userspaceAddress.rawValue - MachineShape.memory.rawValue
        var members = [
            "\"addressSpace\":\(slot.addressSpace)",
            "\"guestPhysicalAddress\":\"\(slot.guestPhysicalAddress)\"",
            "\"size\":\"\(slot.size)\"", "\"memory\":\"ram\"",
            "\"memoryOffset\":\"\(ByteCount(offset))\"",
            "\"flags\":[\(slot.flags.names.map { "\"\($0)\"" }.joined(separator: ","))]",
        ]
        if let id = slot.id { members.append("\"slot\":\(id)") }
        return "{\(members.joined(separator: ","))}"
    }
}
