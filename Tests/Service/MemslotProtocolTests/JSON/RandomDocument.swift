import MemslotTestKit

/// Random JSON texts, and texts that nearly are.
struct RandomDocument {
    var random: SeededRandom

    init(seed: UInt64) { random = SeededRandom(seed: seed) }

    /// A valid text.
    mutating func valid() -> [UInt8] {
        var text: [UInt8] = []
        value(depth: 0, into: &text)
        return text
    }

    /// A valid text with a few bytes changed, inserted or removed.
    mutating func damaged() -> [UInt8] {
        var text = valid()
        for _ in 0..<Int.random(in: 1...3, using: &random) where !text.isEmpty {
            let at = Int.random(in: text.indices, using: &random)
            let byte = hostileBytes[Int.random(in: hostileBytes.indices, using: &random)]
            switch Int.random(in: 0..<4, using: &random) {
            case 0: text[at] = byte
            case 1: text.insert(byte, at: at)
            case 2: text.remove(at: at)
            default: text.removeSubrange(at...)
            }
        }
        return text
    }

    private let hostileBytes: [UInt8] =
        Array("{}[]\",:\\/0123456789.-+eEtrufalsnb \n\t".utf8)
        + [0x1F, 0x7F, 0x80, 0xBF, 0xC0, 0xC1, 0xC3, 0xE0, 0xED, 0xA0, 0xF0, 0x90, 0xF4, 0xF5]

    private mutating func value(depth: Int, into text: inout [UInt8]) {
        blanks(into: &text)
        switch Int.random(in: 0..<(depth > 5 ? 6 : 10), using: &random) {
        case 0: text += "null".utf8
        case 1: text += (Bool.random(using: &random) ? "true" : "false").utf8
        case 2, 3: number(into: &text)
        case 4, 5: string(into: &text)
        case 6, 7:
            list(into: &text, "[", "]") { $0.value(depth: depth + 1, into: &$1) }
        default:
            list(into: &text, "{", "}") {
                $0.blanks(into: &$1)
                $0.string(into: &$1)
                $0.blanks(into: &$1)
                $1 += ":".utf8
                $0.value(depth: depth + 1, into: &$1)
            }
        }
        blanks(into: &text)
    }

    private mutating func list(
        into text: inout [UInt8], _ open: String, _ close: String,
        _ element: (inout RandomDocument, inout [UInt8]) -> Void
    ) {
        text += open.utf8
        let count = Int.random(in: 0..<5, using: &random)
        for index in 0..<count {
            if index > 0 { text += ",".utf8 }
            element(&self, &text)
        }
        if count == 0 { blanks(into: &text) }
        text += close.utf8
    }

    private mutating func blanks(into text: inout [UInt8]) {
        while Int.random(in: 0..<4, using: &random) == 0 {
            text.append([0x20, 0x09, 0x0A, 0x0D][Int.random(in: 0..<4, using: &random)])
        }
    }

    private mutating func number(into text: inout [UInt8]) {
        if Int.random(in: 0..<3, using: &random) == 0 { text += "-".utf8 }
        text +=
            String(
                UInt64.random(in: 0...(.max), using: &random)
                    >> UInt64.random(in: 0..<64, using: &random)
            ).utf8
        if Int.random(in: 0..<4, using: &random) == 0 {
            text += ".\(Int.random(in: 0...999, using: &random))".utf8
        }
        if Int.random(in: 0..<4, using: &random) == 0 {
            let forms = ["e", "E", "e+", "E-"]
            text += forms[Int.random(in: 0..<4, using: &random)].utf8
            text += String(Int.random(in: 0...20, using: &random)).utf8
        }
    }

    private mutating func string(into text: inout [UInt8]) {
        let pieces = [
            "a", "slot", "guestPhysicalAddress", "0x1000", "é", "€", "𝄞", "\u{10FFFF}", "\\n",
            "\\\"", "\\\\", "\\/", "\\b\\f\\r\\t", "\\u0041", "\\u20ac", "\\uD834\\uDD1E",
            "\\u0000",
            " ", "{", "]", ",", "~\u{7F}", "\u{2028}",
        ]
        text += "\"".utf8
        for _ in 0..<Int.random(in: 0..<6, using: &random) {
            text += pieces[Int.random(in: pieces.indices, using: &random)].utf8
        }
        text += "\"".utf8
    }
}
