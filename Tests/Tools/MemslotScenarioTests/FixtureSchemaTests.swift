import MemslotProtocol
import MemslotScenario
import MemslotService
import TestSupport
import Testing
import WireTestSupport

@Suite("fixtures and the schema of the protocol")
struct FixtureSchemaTests {
    private let schema: JSONSchema

    init() throws { schema = try JSONSchema() }

    @Test("every message of a fixture conforms to the schema", arguments: FixtureFiles.scenarios)
    func fixture(path: String) throws {
        let client = WireClient(MemslotService(), queue: 100_000)
        _ = try client.call("events.subscribe")
        var reader = ScenarioReader(LineReader(bytes: try FixtureFiles.bytes(path)))
        while let step = try reader.next() {
            guard case .request(let request) = step.content else { continue }
            var writer = JSONWriter()
            request.write(id: step.line, to: &writer, backend: nil)
            let line = String(decoding: writer.bytes.dropLast(), as: UTF8.self)
            let reply = try #require(try client.send(line))
            let place = "\(path):\(step.line)"
            try check(line, reply, place)
            for event in try client.events().events {
                #expect(try schema.fault(of: event, at: "#/$defs/notification") == nil, "\(place)")
            }
        }
    }

    /// Validates a request and its reply by the schema.
    private func check(
        _ request: String, _ reply: WireClient.Reply, _ place: String
    ) throws {
        let asked = try JSONDocument(parsing: request).root
        let method = asked["method"]?.string ?? ""
        if let result = reply.result {
            let fault = try schema.fault(of: result, at: "#/$defs/results/$defs/\(method)")
            #expect(fault == nil, "\(place): \(method): \(fault ?? "")")
        } else {
            let fault = try schema.fault(of: reply.root, at: "#/$defs/response")
            #expect(fault == nil, "\(place): \(method): \(fault ?? "")")
        }
        // A request that is refused before its members are validated may have any members.
        let code = reply.error?["code"]?.int ?? 0
        let isValidated = ![-32700, -32600, -32601, -32602, -32001, -32007].contains(code)
        if isValidated {
            let fault = try schema.fault(of: asked, at: "#/$defs/request")
            #expect(fault == nil, "\(place): \(fault ?? "")")
        }
    }
}
