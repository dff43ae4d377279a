package import MemslotProtocol
import Memslots

/// Reads a scenario line by line: a fixture, or a recorded trace of any length.
/// It validates the lines' own members. The service validates `params`.
package struct ScenarioReader {
    private var lines: LineReader
    private var isEmpty = true

    package init(_ lines: LineReader) { self.lines = lines }

    /// The next line that is not blank; `nil` after the last. A file without one is a fault too.
    package mutating func next() throws(UnusableInput) -> ScenarioStep? {
        while let bytes = try lines.next() {
            if bytes.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) { continue }
            isEmpty = false
            let number = lines.lineNumber
            return ScenarioStep(line: number, content: try Self.content(of: bytes, number))
        }
        guard !isEmpty else {
            throw UnusableInput(message: "expected a scenario, found an empty file")
        }
        return nil
    }

    private static func content(
        of bytes: [UInt8], _ line: Int
    ) throws(UnusableInput) -> ScenarioStep.Content {
        let value = try JSONValue(line: bytes, number: line)
        func member<Value>(
            _ name: String, _ kind: String, _ read: (JSONValue) -> Value?
        ) throws(UnusableInput) -> Value? {
            guard let member = value[name] else { return nil }
            if let found = read(member) { return found }
            throw UnusableInput(
                line: line, column: member.position.column,
                message: "\(name): expected a \(kind), found \(member.kind)")
        }
        if value.kind == .object, value["method"] == nil {
            if let text = try member("comment", "string", \.string) {
                let count = try member("recordedOperations", "count", \.uint64)
                return .comment(text, recordedOperations: count)
            }
            if value["scenario"] != nil {
                let source = try member("source", "string", \.string)
                let name = try member("scenario", "string", \.string) ?? ""
                return .header(scenario: name, source: source)
            }
        }
        return .request(try ParameterReader.read(value, line: line, as: ScenarioRequest.self))
    }
}

extension JSONValue {
    package init(line: [UInt8], number: Int) throws(UnusableInput) {
        self = try converting(
            { (error: JSONError) in
                UnusableInput(line: number, column: error.column, message: error.expected)
            }, JSONDocument(parsing: line).root)
    }
}

private struct ExpectedOutcome: ParameterObject {
    private var count = 0

    enum Member: String, CaseIterable, Sendable { case result, error }

    static let table = MemberTable<Member> { _ in false }

    mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        count += 1
    }

    mutating func finish(at node: Int, reader: inout ParameterReader) {
        if count != 1 { reader.fail(at: node, "expected either \"result\" or \"error\"") }
    }
}

package struct ScenarioStep: Sendable {
    package let line: Int
    package let content: Content

    package enum Content: Sendable {
        case header(scenario: String, source: String?)
        /// `recordedOperations`: the kernel calls of the recorded VMM for the next submit.
        case comment(String, recordedOperations: UInt64?)
        case request(ScenarioRequest)
    }
}

package struct ScenarioRequest: Sendable, ParameterObject {
    /// The method's name, which may be unknown.
    package private(set) var method = ""
    /// The parameters, not validated; `nil` if omitted.
    package private(set) var params: JSONValue?
    /// An object with `result` or `error`; `nil` accepts any result.
    package private(set) var expect: JSONValue?

    package enum Member: String, CaseIterable, Sendable { case method, params, expect }

    package static let table = MemberTable<Member> { $0 == .method }

    package init() {}

    package mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        let value = JSONValue(document: reader.document, node: node)
        switch member {
        case .method: method = reader.string(at: node)
        case .params: params = value
        case .expect:
            var outcome = ExpectedOutcome()
            reader.object(at: node, into: &outcome)
            expect = value
        }
    }

    /// Writes the bare request on a line of its own; `backend` replaces that of a `vm.create`.
    package func write(
        id: Int, to writer: inout JSONWriter, backend: BackendChoice? = nil,
        host: [(name: String, value: String)] = []
    ) {
        let isChanged = method == Method.vmCreate.rawValue && (backend != nil || !host.isEmpty)
        let params = params.map {
            isChanged && $0.kind == .object
                ? Self.replacing(backend, host, in: $0)[...] : $0.rawBytes
        }
        writer.request(method: method, id: RequestID(id), params: params)
    }

    private static func replacing(
        _ backend: BackendChoice?, _ host: [(name: String, value: String)], in params: JSONValue
    ) -> [UInt8] {
        var writer = JSONWriter()
        func copy(_ object: JSONValue?, without names: [String]) {
            guard let object else { return }
            for member in object.members where !names.contains(where: member.isNamed) {
                writer.key(named: member.name)
                writer.raw(member.value.rawBytes)
            }
        }
        writer.beginObject()
        copy(
            params,
            without: (backend == nil ? [] : ["backend"]) + (host.isEmpty ? [] : ["simulated"]))
        writer.member("backend", backend?.rawValue)
        if !host.isEmpty {
            writer.key("simulated")
            writer.beginObject()
            copy(params["simulated"], without: host.map(\.name))
            for (name, value) in host {
                writer.key(named: name)
                writer.string(value)
            }
            writer.endObject()
        }
        writer.endObject()
        return writer.bytes
    }
}
