import Foundation
import MemslotProtocol
import MemslotScenario
import MemslotService
import TestSupport
import Testing

@Suite("the schema of the protocol")
struct SchemaTests {
    private let schema: JSONSchema
    private let root: JSONValue

    init() throws {
        root = try JSONDocument(parsing: try DocumentFiles.bytes("protocol.schema.json")).root
        schema = try JSONSchema(root)
    }

    private func parsed(_ text: String) throws -> JSONValue {
        try JSONDocument(parsing: text).root
    }

    @Test("it has the parameters and the result of every method, and every error kind")
    func complete() throws {
        let methods = Set(Method.allCases.map(\.rawValue))
        for part in ["params", "results"] {
            let names = root["$defs"]?[part]?["$defs"]?.members.map(\.name) ?? []
            #expect(Set(names) == methods, "\(part)")
        }
        var listed: [String] = []
        for choice in root["$defs"]?["error"]?["oneOf"]?.list ?? [] {
            let code = choice["properties"]?["code"]?["const"]?.rawText ?? ""
            let kinds = choice["properties"]?["data"]?["properties"]?["kind"]?["enum"]
            listed += kinds?.list.map { "\(code) \($0.string ?? "")" } ?? []
        }
        #expect(listed.sorted() == ErrorKind.allCases.map { "\($0.code) \($0.name)" }.sorted())
    }

    @Test("it refuses what the service refuses", arguments: SchemaTests.refused)
    func refuses(text: String) throws {
        #expect(try schema.fault(of: try parsed(text)) != nil)
    }

    private static let refused: [String] = [
        "{\"id\":1}",
        "{\"id\":1,\"method\":\"vm.lists\"}",
        "{\"id\":1,\"method\":\"vm.create\"}",
        "{\"id\":1,\"method\":\"vm.create\",\"params\":{\"vm\":\"a/b\"}}",
        "{\"id\":1,\"method\":\"vm.create\",\"params\":{\"vm\":\"\"}}",
        "{\"id\":1,\"method\":\"memslots.get\",\"params\":{\"vm\":\"a\",\"x\":1}}",
        "{\"id\":1,\"method\":\"memslots.get\",\"params\":[\"a\"]}",
        "{\"id\":1,\"method\":\"memslots.submit\",\"params\":{\"vm\":\"a\"}}",
        "{\"id\":1,\"method\":\"memslots.history\",\"params\":{\"vm\":\"a\",\"last\":-1}}",
        "{\"id\":1,\"method\":\"memslots.history\",\"params\":{\"vm\":\"a\",\"last\":1.0}}",
        "{\"id\":1,\"method\":\"memslots.history\",\"params\":"
            + "{\"vm\":\"a\",\"last\":18446744073709551616}}",
        "{\"id\":1,\"method\":\"memslots.submit\",\"params\":"
            + "{\"vm\":\"a\",\"slots\":[{\"guestPhysicalAddress\":0,\"sise\":4096}]}}",
        "{\"id\":1,\"method\":\"memory.create\",\"params\":{\"vm\":\"a\",\"memory\":\"m\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{},\"error\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":"
            + "{\"code\":-32003,\"message\":\"\",\"data\":{\"kind\":\"overlap\"}}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":"
            + "{\"code\":-32001,\"message\":\"\",\"data\":{\"kind\":\"vm-exists\"}}}",
        "[]",
    ]

    @Test("every message of a fixture keeps to it", arguments: FixtureFiles.scenarios)
    func fixture(path: String) throws {
        let client = WireClient(MemslotService(), queue: 100_000)
        _ = try client.call("events.subscribe")
        var reader = ScenarioReader(LineReader(bytes: try FixtureFiles.bytes(path)))
        while let step = try reader.next() {
            guard case .request(let request) = step.content else { continue }
            var writer = JSONWriter()
            request.write(id: step.line, to: &writer, backend: nil)
            let line = String(decoding: writer.bytes.dropLast(), as: UTF8.self)
            let response = try #require(try client.send(line))
            let place = "\(path):\(step.line)"
            try check(line, response, place)
            for event in try client.events().events {
                #expect(try schema.fault(of: event, at: "#/$defs/notification") == nil, "\(place)")
            }
        }
    }

    /// Holds a request and its response against the schema.
    private func check(
        _ request: String, _ response: WireClient.Response, _ place: String
    ) throws {
        let asked = try parsed(request)
        let method = asked["method"]?.string ?? ""
        if let result = response.result {
            let fault = try schema.fault(of: result, at: "#/$defs/results/$defs/\(method)")
            #expect(fault == nil, "\(place): \(method): \(fault ?? "")")
        } else {
            let fault = try schema.fault(of: response.root, at: "#/$defs/response")
            #expect(fault == nil, "\(place): \(method): \(fault ?? "")")
        }
        // What is refused before its members are judged may have any.
        let code = response.error?["code"]?.int ?? 0
        let isJudged = ![-32700, -32600, -32601, -32602, -32001, -32007].contains(code)
        if isJudged {
            let fault = try schema.fault(of: asked, at: "#/$defs/request")
            #expect(fault == nil, "\(place): \(fault ?? "")")
        }
    }
}

/// The files of `Docs/`, found from this one.
enum DocumentFiles {
    private static let root = Repository.url("Docs")

    static func bytes(_ path: String) throws -> [UInt8] {
        Array(try Data(contentsOf: root.appending(path: path)))
    }

    static func path(_ path: String) -> String { root.appending(path: path).path }
}
