import Glibc
package import MemslotProtocol
package import MemslotService
import Synchronization

/// A client in this process, which sends lines of JSON as one behind a socket does.
package struct WireClient {
    package let service: MemslotService
    package let connection: ServiceConnection

    /// The reply to one line.
    package struct Reply {
        package let line: String
        package let root: JSONValue
        package let descriptors: [Int32]

        package var result: JSONValue? { root["result"] }
        package var error: JSONValue? { root["error"] }
        package var kind: String? { error?["data"]?["kind"]?.string }
        package var path: String? { error?["data"]?["path"]?.string }
    }

    private static let lastConnection = Atomic<UInt64>(100)

    package init(
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
    ///
    /// - Returns: the reply; `nil` for a line that gets none.
    package func send(_ line: String, passing descriptors: [Int32] = []) throws -> Reply? {
        var bound: Int?
        let replies = service.respond(
            to: RequestDecoder().decode(Array(line.utf8)), on: connection,
            descriptors: PassedDescriptors(descriptors), reserve: { bound = $0 })
        // What a server reserves for a reply holds it.
        if let bound, replies.count > bound { throw TooLongReply(bytes: replies.count, bound) }
        guard replies.count > 0 else { return nil }
        let passed = replies.descriptors.claimAll()
        let text = String(decoding: replies.finish(), as: UTF8.self)
        return Reply(
            line: text, root: try JSONDocument(parsing: text).root, descriptors: passed)
    }

    /// Calls a method, with parameters as JSON text.
    @discardableResult
    package func call(
        _ method: String, _ params: String? = nil, passing descriptors: [Int32] = []
    ) throws -> Reply {
        let text = params.map { ",\"params\":\($0)" } ?? ""
        let line = "{\"id\":1,\"method\":\"\(method)\"\(text)}"
        guard let reply = try send(line, passing: descriptors) else {
            throw TargetLost("no reply to \(line)")
        }
        return reply
    }

    /// Calls a method that must succeed.
    ///
    /// - Returns: the result.
    @discardableResult
    package func result(_ method: String, _ params: String? = nil) throws -> JSONValue {
        let reply = try call(method, params)
        guard let result = reply.result else { throw TargetLost(reply.line) }
        return result
    }

    /// Creates a simulated VM.
    package func createVM(_ name: String, _ more: String = "") throws {
        try result("vm.create", "{\"vm\":\"\(name)\",\"backend\":\"simulated\"\(more)}")
    }

    /// Submits slots as JSON text.
    @discardableResult
    package func submit(_ vm: String, _ slots: String, _ more: String = "") throws -> Reply {
        try call("memslots.submit", "{\"vm\":\"\(vm)\",\"slots\":[\(slots)]\(more)}")
    }

    /// Removes the notifications that wait from the queue.
    ///
    /// - Returns: the notifications, and how many were dropped before them.
    package func events() throws -> (dropped: UInt64, events: [JSONValue]) {
        guard let queue = connection.events else { throw TargetLost("no queue") }
        let taken = queue.removeAll()
        return (taken.dropped, try taken.lines.map { try JSONDocument(parsing: $0).root })
    }

    /// Removes the notifications that wait from the queue, and returns them as text.
    package func eventLines() throws -> [String] {
        try events().events.map(\.rawText)
    }
}

/// A slot of one page at `address`, as JSON text.
package func page(_ slot: Int, at address: String, _ more: String = "") -> String {
    "{\"slot\":\(slot),\"guestPhysicalAddress\":\"\(address)\",\"size\":\"0x1000\","
        + "\"userspaceAddress\":\"0x7f000000\(slot)000\"\(more)}"
}

/// A reply has more bytes than the service reserves for it.
private struct TooLongReply: Error {
    let bytes: Int
    let bound: Int

    init(bytes: Int, _ bound: Int) { (self.bytes, self.bound) = (bytes, bound) }
}
