import MemslotProtocol
import MemslotService

/// Executes lines of a client.
///
/// Every request with an id must have exactly one reply, a line of JSON; a notification has none.
enum MessageFuzz {
    static func run(_ bytes: [UInt8]) -> String? {
        var limits = ServiceLimits()
        limits.vmsPerPeer = 8
        limits.slotsPerPeer = 4_096
        limits.memoriesPerPeer = 8
        // Memory objects are files, which must not be large.
        limits.memoryBytesPerPeer = 1 << 26
        limits.dirtyLogPages = 1 << 16
        let service = MemslotService(limits: limits, kvmDevice: "/nonexistent")
        let events = EventQueue(limit: 64) {}
        let connection = ServiceConnection(peer: Peer(), events: events)
        defer { service.end(connection) }
        for line in bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 64) {
            let decoded = RequestDecoder(batchLimit: 64).decode(Array(line))
            let replies = service.respond(to: decoded, on: connection)
            if let broken = fault(in: replies.finish(), to: decoded) { return broken }
            for event in events.removeAll().lines where !isJSON(event) {
                return "an event is not JSON: \(String(decoding: event, as: UTF8.self))"
            }
        }
        return nil
    }

    private static func fault(in reply: [UInt8], to line: DecodedLine) -> String? {
        let expected = line.requests.count { $0.id != nil }
        if expected == 0 { return reply.isEmpty ? nil : "a notification has a reply" }
        guard let root = try? JSONDocument(parsing: reply).root else {
            return "the reply is not JSON: \(String(decoding: reply, as: UTF8.self))"
        }
        if reply.contains(UInt8(ascii: "\n")) { return "the reply has more than one line" }
        let count = root.kind == .array ? root.elements.count : 1
        return count == expected ? nil : "\(expected) requests have \(count) replies"
    }

    private static func isJSON(_ line: [UInt8]) -> Bool {
        (try? JSONDocument(parsing: line)) != nil
    }
}
