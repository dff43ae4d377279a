import Foundation
import MemslotProtocol
import TestSupport
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

    @Test("it permits unknown members in replies and notifications, and not in requests")
    func unknownMembers() throws {
        let lenient = try JSONSchema(JSONSchema.protocolDocument(isStrict: false))
        let messages = [
            (
                #"{"jsonrpc":"2.0","id":1,"result":{"vms":[{"vm":"a","backend":"kvm","generation":0,"#
                    + #""slots":0,"state":"ready"}]}}"#, true
            ),
            (
                #"{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"","data":"#
                    + #"{"kind":"unknown-vm"}}}"#, true
            ),
            (#"{"jsonrpc":"2.0","method":"vm.destroyed","params":{"vm":"a"}}"#, true),
            (
                #"{"id":1,"method":"memslots.submit","params":{"vm":"a","slots":"#
                    + #"[{"guestPhysicalAddress":0,"size":1}]}}"#, false
            ),
        ]
        for (message, isPermitted) in messages {
            #expect(try schema.fault(of: parsed(message)) == nil, "\(message)")
            // In each object of the message.
            var count = 0
            for index in message.indices where message[index] == "{" {
                let rest = message[message.index(after: index)...]
                let changed = try parsed(message[..<index] + #"{"later":1,"# + rest)
                #expect(
                    (try lenient.fault(of: changed) == nil) == isPermitted, "\(changed.rawText)")
                #expect(try schema.fault(of: changed) != nil, "\(changed.rawText)")
                count += 1
            }
            #expect(count >= 2)
        }
    }

    @Test("its descriptions point to headings of Protocol.md")
    func anchors() throws {
        func text(_ name: String) throws -> String {
            try String(contentsOf: Repository.url("Docs/\(name)"), encoding: .utf8)
        }
        // As GitHub makes anchors.
        let anchors = Set(
            try text("Protocol.md").split(separator: "\n").filter { $0.hasPrefix("#") }.map {
                $0.drop { $0 == "#" }.dropFirst().lowercased().filter {
                    $0.isLetter || $0.isNumber || " -_".contains($0)
                }.replacingOccurrences(of: " ", with: "-")
            })
        let named = try text("protocol.schema.json").matches(of: /Protocol\.md#([a-z-]+)/).map {
            String($0.output.1)
        }
        #expect(Set(named).isSubset(of: anchors), "\(Set(named).subtracting(anchors))")
        for part in ["params", "results", "events"] {
            for method in root["$defs"]?[part]?["$defs"]?.members.map({ $0 }) ?? [] {
                let description = method.value["description"]?.string ?? ""
                #expect(description.contains("Protocol.md#"), "\(part) \(method.name)")
            }
        }
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
