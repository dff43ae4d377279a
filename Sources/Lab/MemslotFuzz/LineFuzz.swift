import MemslotProtocol
import MemslotService

/// Splits a stream of pieces into lines and compares them with those of the whole stream.
///
/// The first byte is the line limit, the second the descriptor limit. Pieces follow: one byte with
/// the length, one byte with the number of descriptors, and the bytes.
enum LineFuzz {
    private struct Line: Equatable {
        let bytes: [UInt8]
        let descriptors: Int
        let hasBadDescriptors: Bool
    }

    private struct Piece {
        let bytes: ArraySlice<UInt8>
        let descriptors: Int
    }

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
            if !piece.isEmpty {
                pieces.append(Piece(bytes: piece, descriptors: max(0, descriptors)))
            }
        }
        let (expected, got) = (whole(pieces, limits), inPieces(pieces, limits))
        if expected.lines != got.lines { return "other lines: \(got.lines) for \(expected.lines)" }
        if expected.isTooLong != got.isTooLong { return "only one of both detects the limit" }
        return nil
    }

    private static func inPieces(
        _ pieces: [Piece], _ limits: (line: Int, descriptors: Int)
    ) -> Outcome {
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
                buffer.attach(
                    Array(repeating: -1, count: piece.descriptors), isTruncated: false)
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
            } catch {
                return (lines, true)
            }
        }
        return (lines, false)
    }

    private static func whole(
        _ pieces: [Piece], _ limits: (line: Int, descriptors: Int)
    ) -> Outcome {
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
