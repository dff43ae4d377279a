import Foundation
import MemslotProtocol
import WireTestSupport

/// The exchanges of `Docs/Protocol.md`, and where they stand in it.
struct ProtocolDocument {
    /// A fenced block of exchanges.
    struct Block {
        /// The words after `exchange`: how it is to be run.
        var conditions: Set<String>
        var requests: [Request]
    }

    /// One request, and what came back for it.
    struct Request {
        /// Its line in the document, from 1.
        var line: Int
        var text: String
        var received: [String]
        /// The document's lines that hold what came back.
        var receivedLines: Range<Int>
    }

    let lines: [String]
    private(set) var blocks: [Block] = []

    init(_ text: String) {
        lines = text.components(separatedBy: "\n")
        var index = 0
        while index < lines.count {
            if lines[index].hasPrefix("```exchange") { readBlock(&index) }
            index += 1
        }
    }

    private mutating func readBlock(_ index: inout Int) {
        var block = Block(
            conditions: Set(lines[index].split(separator: " ").dropFirst().map(String.init)),
            requests: [])
        index += 1
        while index < lines.count, lines[index] != "```" {
            let line = lines[index]
            if line.hasPrefix("→ ") {
                block.requests.append(
                    Request(
                        line: index + 1, text: String(line.dropFirst(2)), received: [],
                        receivedLines: index + 1..<index + 1))
            } else if var request = block.requests.popLast() {
                if line.hasPrefix("← ") {
                    request.received.append(String(line.dropFirst(2)))
                } else if let last = request.received.popLast() {
                    request.received.append(last + line.trimmingCharacters(in: .whitespaces))
                } else {
                    request.text += line.trimmingCharacters(in: .whitespaces)
                }
                request.receivedLines = request.receivedLines.lowerBound..<index + 1
                block.requests.append(request)
            }
            index += 1
        }
        blocks.append(block)
    }

    /// The rows of the table whose head begins with `head`, cell by cell.
    func table(_ head: String) -> [[String]] {
        guard let start = lines.firstIndex(where: { $0.hasPrefix(head) }) else { return [] }
        return lines[(start + 2)...].prefix { $0.hasPrefix("|") }.map { row in
            row.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
        }
    }
}

/// How two messages differ, but for what differs from run to run.
enum DocumentComparison {
    /// Compared by presence.
    private static let volatile: Set<String> = [
        "pid", "version", "openMetrics", "opaque", "kvm", "warnings", "users",
    ]
    /// Members that are compared by presence alone.
    private static let volatileMembers: Set<String> = [
        "nanoseconds", "blackout", "total", "quiesce", "apply",
    ]

    static func difference(
        _ wanted: JSONValue, _ got: JSONValue, path: String = "$", byPresence: Bool = false
    ) -> String? {
        guard wanted.kind == got.kind else { return "\(path): \(wanted.kind), not \(got.kind)" }
        switch wanted.kind {
        case .object:
            let (left, right) = (Array(wanted.members), Array(got.members))
            guard left.map(\.name) == right.map(\.name) else {
                return "\(path): \(left.map(\.name)), not \(right.map(\.name))"
            }
            for (one, other) in zip(left, right) where !volatile.contains(one.name) {
                let inner = difference(
                    one.value, other.value, path: "\(path).\(one.name)",
                    byPresence: byPresence || volatileMembers.contains(one.name)
                        // By how much the allocator gives for each array.
                        || (one.name == "receiptBytes" && path.hasSuffix(".gauges")))
                if let inner { return inner }
            }
            return nil
        case .array:
            let (left, right) = (wanted.list, got.list)
            guard left.count == right.count else { return "\(path): another count" }
            for (index, pair) in zip(left, right).enumerated() {
                if let inner = difference(
                    pair.0, pair.1, path: "\(path)[\(index)]", byPresence: byPresence)
                {
                    return inner
                }
            }
            return nil
        default:
            if byPresence || wanted.rawText == got.rawText { return nil }
            return "\(path): \(wanted.rawText), not \(got.rawText)"
        }
    }
}

extension ProtocolDocument {
    /// The document with what came back now in place of what it has.
    func rewritten(_ received: [[[String]]]) -> String {
        var lines = lines
        for (block, answers) in zip(blocks, received).reversed() {
            for (request, answer) in zip(block.requests, answers).reversed() {
                let text = answer.flatMap { Self.wrapped("← " + Self.shortened($0)) }
                lines.replaceSubrange(request.receivedLines, with: text)
            }
        }
        return lines.joined(separator: "\n")
    }

    /// The text of metrics is long: its first lines are compared.
    private static func shortened(_ line: String) -> String {
        guard let start = line.range(of: "\"openMetrics\":\"") else { return line }
        let kept = line[start.upperBound...].components(separatedBy: "\\n").prefix(6)
        return line[..<start.upperBound] + kept.joined(separator: "\\n") + "\\n…# EOF\\n\"}}"
    }

    /// Breaks a message after commas outside of strings, at about a hundred columns.
    private static func wrapped(_ line: String) -> [String] {
        var lines: [String] = []
        var current = ""
        var piece = ""
        var isInString = false
        var previous: Character = " "
        for character in line {
            piece.append(character)
            if character == "\"" && previous != "\\" { isInString.toggle() }
            previous = character
            guard character == ",", !isInString else { continue }
            if current.count + piece.count > 100, !current.isEmpty {
                lines.append(current)
                current = "  "
            }
            current += piece
            piece = ""
        }
        if current.count + piece.count > 100, !current.isEmpty {
            lines.append(current)
            current = "  "
        }
        return lines + [current + piece]
    }
}
