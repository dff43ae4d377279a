import Foundation
import MemslotProtocol
import MemslotService
import Memslots

/// Lines that a client sends.
enum RequestLine {
    /// A request of one VM.
    static func make(_ method: String, vm: String) -> [UInt8] {
        make(method) { writer in
            writer.key("vm")
            writer.string(vm)
        }
    }

    /// `server.info` has no parameters to read; `vm.create` makes a simulated VM.
    static func create(vm: String) -> [UInt8] {
        make("vm.create") { writer in
            writer.key("vm")
            writer.string(vm)
            writer.key("backend")
            writer.string("simulated")
        }
    }

    /// The submit of an array, with the members that clients write.
    static func submit(_ slots: [Memslot], to vm: String) -> [UInt8] {
        make("memslots.submit") { writer in
            writer.key("vm")
            writer.string(vm)
            writer.key("slots")
            writer.beginArray()
            for slot in slots {
                writer.slot(slot, backing: .userspaceAddress(slot.userspaceAddress))
            }
            writer.endArray()
        }
    }

    /// A request with parameters.
    static func make(_ method: String, params: (inout JSONWriter) -> Void) -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        params(&writer)
        writer.endObject()
        var line = JSONWriter()
        line.request(method: method, id: RequestID(1), params: writer.finish())
        return line.finish()
    }
}

/// The service without a socket around it, to time its halves.
final class InProcessService {
    private let service = MemslotService()
    private let connection = ServiceConnection(
        peer: Peer(user: 0, role: .full, connection: 1))

    /// Carries a line out.
    ///
    /// - Returns: the bytes of the answer.
    @discardableResult
    func answer(_ line: [UInt8]) -> Int {
        var writer = JSONWriter()
        service.answer(Self.parse(line), on: connection, into: &writer)
        return writer.count
    }

    /// Reads a line, as a connection does it.
    static func parse(_ line: [UInt8]) -> IncomingMessage {
        // Without the line's end, which the connection cuts off.
        IncomingMessage(parsing: line, in: 0..<line.count - 1)
    }

    /// Reads a line, and the slots in its parameters.
    static func parseSlots(_ line: [UInt8]) throws(BenchmarkError) -> Int {
        guard case .single(.request(let request)) = parse(line) else {
            throw .broken("the benchmark's own request is none")
        }
        do throws(ProtocolError) { return try SubmitParameters(request.params).slots.count } catch {
            throw .broken("the benchmark's own request is refused: \(error.message)")
        }
    }
}

/// The submit's shape for Foundation's decoder: what the obvious way would take.
struct FoundationSubmit: Decodable {
    struct Slot: Decodable {
        let slot: UInt32
        let guestPhysicalAddress: String
        let size: String
        let userspaceAddress: String
        let flags: [String]
    }

    struct Parameters: Decodable {
        let vm: String
        let slots: [Slot]
    }

    let id: Int
    let method: String
    let params: Parameters

    /// How many slots `line` has.
    static func slotCount(_ line: Data) throws(BenchmarkError) -> Int {
        do {
            return try JSONDecoder().decode(FoundationSubmit.self, from: line).params.slots.count
        } catch {
            throw .broken("Foundation reads the benchmark's own request otherwise: \(error)")
        }
    }
}
