import MemslotProtocol
import Testing
import WireTestSupport

@Suite("the schema of the protocol")
struct SchemaTests {
    private let schema: JSONSchema
    private let root: JSONValue

    init() throws {
        root = try JSONSchema.protocolDocument()
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
}
