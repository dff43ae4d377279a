import MemslotProtocol
import MemslotService

/// Splits a stream of pieces into lines and compares them with those of the whole stream. The first
/// byte is the line limit, the second the descriptor limit. Pieces follow: one byte with the
/// length, one byte with the number of descriptors, and the bytes.
enum LineFuzz {
    private struct Line: Equatable {
        let bytes: [UInt8]
        let descriptors: Int
        let hasBadDescriptors: Bool
    }

    private typealias Limits = (line: Int, descriptors: Int)
    private typealias Piece = (bytes: ArraySlice<UInt8>, descriptors: Int)
    private typealias Outcome = (lines: [Line], isTooLong: Bool)

    static func run(_ bytes: [UInt8]) -> String? {
        var choices = FuzzBytes(bytes)
        let limits = (
            line: Int(choices.number(below: 64)), descriptors: Int(choices.number(below: 4))
        )
        var pieces: [Piece] = []
        while !choices.isAtEnd {
            let length = Int(choices.byte())
            let descriptors = Int(choices.number(below: 16)) - 12
            let piece = choices.bytes(length)
            if !piece.isEmpty { pieces.append((piece, max(0, descriptors))) }
        }
        let (expected, got) = (whole(pieces, limits), inPieces(pieces, limits))
        if expected.lines != got.lines { return "other lines: \(got.lines) for \(expected.lines)" }
        if expected.isTooLong != got.isTooLong { return "only one of both detects the limit" }
        return nil
    }

    private static func inPieces(_ pieces: [Piece], _ limits: Limits) -> Outcome {
        var buffer = LineBuffer(lineLimit: limits.line, descriptorLimit: limits.descriptors)
        var lines: [Line] = []
        for piece in pieces {
            let count = buffer.fill { room in
                room.copyBytes(from: piece.bytes)
                return piece.bytes.count
            }
            precondition(count == piece.bytes.count, "a piece fits into the buffer")
            if piece.descriptors > 0 {
                // -1 is no descriptor: closing it has no effect.
                buffer.attach(Array(repeating: -1, count: piece.descriptors), isTruncated: false)
            }
            do throws(LineBuffer.LineTooLong) {
                while let line = try buffer.next() {
                    var claimed = 0
                    while line.descriptors.claim(claimed) != nil { claimed += 1 }
                    lines.append(
                        Line(
                            bytes: Array(buffer.bytes[line.range]), descriptors: claimed,
                            hasBadDescriptors: line.hasBadDescriptors))
                }
            } catch { return (lines, true) }
        }
        return (lines, false)
    }

    private static func whole(_ pieces: [Piece], _ limits: Limits) -> Outcome {
        var lines: [Line] = []
        var line: [UInt8] = []
        var descriptors = 0
        for piece in pieces {
            for (offset, byte) in piece.bytes.enumerated() {
                // Descriptors belong to the line of the last byte of their piece.
                if offset == piece.bytes.count - 1 { descriptors += piece.descriptors }
                guard byte == UInt8(ascii: "\n") else {
                    line.append(byte)
                    continue
                }
                if line.last == UInt8(ascii: "\r") { line.removeLast() }
                if line.count > limits.line { return (lines, true) }
                let isBad = descriptors > limits.descriptors
                let isBlank = line.allSatisfy { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }
                if !isBlank || isBad {
                    lines.append(
                        Line(
                            bytes: line, descriptors: isBad ? 0 : descriptors,
                            hasBadDescriptors: isBad))
                }
                line = []
                descriptors = 0
            }
            // One byte more than the limit may be the `\r` before the newline.
            if line.count > limits.line + 1 { return (lines, true) }
        }
        return (lines, false)
    }
}

/// Executes lines of a client. A request with an id has one reply, a line of JSON; others none.
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
            for event in events.removeAll().lines where (try? JSONDocument(parsing: event)) == nil {
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
}
