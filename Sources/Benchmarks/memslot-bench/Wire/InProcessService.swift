import MemslotProtocol
import MemslotService

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
