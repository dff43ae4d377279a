import MemslotProtocol
import MemslotScenario
import MemslotService
import Memslots

enum RequestLine {
    static func create(vm: String) -> [UInt8] {
        make(.vmCreate, vm: vm) { $0.member("backend", "simulated") }
    }

    static func submit(_ slots: [Memslot], to vm: String) -> [UInt8] {
        make(.memslotsSubmit, vm: vm) {
            $0.list("slots", slots) { writer, slot in
                writer.slot(SlotMessage(slot, backing: .userspaceAddress(slot.userspaceAddress)))
            }
        }
    }

    /// A request with the VM and other parameters.
    static func make(
        _ method: Method, vm: String, others: (inout JSONWriter) -> Void = { _ in }
    ) -> [UInt8] {
        var line = JSONWriter()
        line.request(method, vm: vm, id: 1, others)
        return line.finish()
    }
}

/// The service without a socket, to measure decoding and encoding separately.
final class InProcessService {
    private let service = MemslotService()
    private let connection = ServiceConnection(
        peer: Peer(user: 0, role: .full, connection: 1))

    /// Executes the request of a line. Returns the bytes of the reply.
    @discardableResult
    func execute(_ line: [UInt8]) -> Int {
        service.respond(to: Self.decode(line), on: connection).count
    }

    static func decode(_ line: [UInt8]) -> DecodedLine {
        // Without the newline, which the connection cuts off.
        RequestDecoder().decode(line, in: 0..<line.count - 1)
    }

    /// Decodes a line and the slots in its parameters; returns their number.
    static func decodeSlots(_ line: [UInt8]) throws -> Int {
        guard case .single(let request) = decode(line),
            case .success(.submit(let parameters)) = request.command
        else { throw BenchmarkError.broken("the benchmark's own line is no submit") }
        return parameters.slots.count
    }
}
