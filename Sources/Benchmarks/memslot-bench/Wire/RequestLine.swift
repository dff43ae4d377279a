import Foundation
import MemslotProtocol
import MemslotService
import Memslots

/// The lines that a client sends.
enum RequestLine {
    /// A request whose only parameter is the VM.
    static func make(_ method: String, vm: String) -> [UInt8] {
        make(method) { writer in
            writer.key("vm")
            writer.string(vm)
        }
    }

    /// Creates a simulated VM.
    static func create(vm: String) -> [UInt8] {
        make("vm.create") { writer in
            writer.key("vm")
            writer.string(vm)
            writer.key("backend")
            writer.string("simulated")
        }
    }

    static func submit(_ slots: [Memslot], to vm: String) -> [UInt8] {
        make("memslots.submit") { writer in
            writer.key("vm")
            writer.string(vm)
            writer.key("slots")
            writer.beginArray()
            for slot in slots {
                writer.slot(
                    SlotMessage(slot, backing: .userspaceAddress(slot.userspaceAddress)))
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

/// The service without a socket, to measure decoding and encoding separately.
final class InProcessService {
    private let service = MemslotService()
    private let connection = ServiceConnection(
        peer: Peer(user: 0, role: .full, connection: 1))

    /// Executes the request of a line.
    ///
    /// - Returns: the bytes of the reply.
    @discardableResult
    func execute(_ line: [UInt8]) -> Int {
        service.execute(Self.decode(line), on: connection).count
    }

    /// Decodes a line in the way of a connection.
    static func decode(_ line: [UInt8]) -> DecodedLine {
        // Without the newline, which the connection cuts off.
        RequestDecoder().decode(line, in: 0..<line.count - 1)
    }

    /// Decodes a line and the slots in its parameters; returns their number.
    static func decodeSlots(_ line: [UInt8]) throws(BenchmarkError) -> Int {
        guard case .single(let request) = decode(line),
            case .success(.submit(let parameters)) = request.command
        else { throw .broken("the benchmark's own line is no submit") }
        return parameters.slots.count
    }
}

/// A submit for Foundation's decoder: the cost of the obvious way.
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

    /// Returns the number of slots in `line`.
    static func slotCount(_ line: Data) throws(BenchmarkError) -> Int {
        do {
            return try JSONDecoder().decode(FoundationSubmit.self, from: line).params.slots.count
        } catch {
            throw .broken("Foundation can't decode the benchmark's own request: \(error)")
        }
    }
}
