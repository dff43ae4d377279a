import Foundation
import MemslotProtocol
import MemslotService
import Synchronization
import Testing

/// A client in this process: it speaks lines of JSON, as one behind a socket would.
struct WireClient {
    let service: MemslotService
    let connection: ServiceConnection

    /// What came back for one line.
    struct Response {
        let line: String
        let root: JSONValue
        let descriptors: [Int32]

        var result: JSONValue? { root["result"] }
        var error: JSONValue? { root["error"] }
        var kind: String? { error?["data"]?["kind"]?.string }
        var path: String? { error?["data"]?["path"]?.string }
    }

    private static let lastConnection = Atomic<UInt64>(100)

    init(
        _ service: MemslotService, user: UInt32 = getuid(), role: Peer.Role = .full,
        queue limit: Int? = nil
    ) {
        self.service = service
        let number = Self.lastConnection.add(1, ordering: .relaxed).newValue
        connection = ServiceConnection(
            peer: Peer(user: user, role: role, connection: number),
            events: limit.map { EventQueue(limit: $0) {} })
    }

    /// Sends a line as it is.
    func send(_ line: String, passing descriptors: [Int32] = []) throws -> Response? {
        var writer = JSONWriter()
        let passed = service.answer(
            IncomingMessage(parsing: Array(line.utf8)), on: connection,
            descriptors: PassedDescriptors(descriptors), into: &writer)
        guard writer.count > 0 else { return nil }
        let text = String(decoding: writer.bytes, as: UTF8.self)
        return Response(
            line: text, root: try JSONDocument(parsing: text).root, descriptors: passed)
    }

    /// Calls a method with parameters as JSON text.
    @discardableResult
    func call(
        _ method: String, _ params: String? = nil, passing descriptors: [Int32] = []
    ) throws -> Response {
        let text = params.map { ",\"params\":\($0)" } ?? ""
        return try #require(
            try send("{\"id\":1,\"method\":\"\(method)\"\(text)}", passing: descriptors))
    }

    /// Makes a simulated VM.
    func createVM(_ name: String, _ more: String = "") throws {
        let made = try call(
            "vm.create", "{\"vm\":\"\(name)\",\"backend\":\"simulated\"\(more)}")
        try #require(made.error == nil, "\(made.line)")
    }

    /// Submits slots as JSON text.
    @discardableResult
    func submit(_ vm: String, _ slots: String, _ more: String = "") throws -> Response {
        try call("memslots.submit", "{\"vm\":\"\(vm)\",\"slots\":[\(slots)]\(more)}")
    }

    /// The notifications that wait, and how many were lost before them.
    func events() throws -> (dropped: UInt64, events: [JSONValue]) {
        let taken = try #require(connection.events).takeAll()
        return (taken.dropped, try taken.lines.map { try JSONDocument(parsing: $0).root })
    }

    /// The notifications that wait, as text.
    func eventLines() throws -> [String] {
        try #require(connection.events).takeAll().lines.map {
            String(decoding: $0, as: UTF8.self)
        }
    }
}

/// A slot of one page at `address`, as JSON text.
func page(_ slot: Int, at address: String, _ more: String = "") -> String {
    "{\"slot\":\(slot),\"guestPhysicalAddress\":\"\(address)\",\"size\":\"0x1000\","
        + "\"userspaceAddress\":\"0x7f000000\(slot)000\"\(more)}"
}

extension JSONValue {
    /// The values of an array.
    var list: [JSONValue] { Array(elements) }
}
