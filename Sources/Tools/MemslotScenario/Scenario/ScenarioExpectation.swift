package import MemslotProtocol

package enum ScenarioExpectation {
    package struct Mismatch: Hashable, Sendable {
        /// The place, from the outermost value: `result.diff.added[0]`.
        package var path: String
        package var wanted: String
        /// The JSON in the reply; `nil` if nothing is there.
        package var got: String?
    }

    package static let limit = 100

    /// Compares a reply with `{"result":…}` or `{"error":…}`; `nil` accepts any result.
    package static func mismatches(expected: JSONValue?, reply: JSONValue) -> [Mismatch] {
        let name = expected?.members.first { _ in true }?.name ?? "result"
        if reply[name] == nil {
            let other = reply["error"] ?? reply["result"] ?? reply
            return [
                Mismatch(
                    path: name, wanted: expected?[name].map(shown) ?? "any result",
                    got: "\(reply["error"] == nil ? "a result" : "an error"): \(shown(other))")
            ]
        }
        guard let expected else { return [] }
        return match(expected: expected, actual: reply)
    }

    /// Compares a value with a subset of it: an object matches if each expected member does, a list
    /// if it has the same length and each element does, a number if its exact value is equal.
    package static func match(expected: JSONValue, actual: JSONValue) -> [Mismatch] {
        var mismatches: [Mismatch] = []
        compare(expected, actual, at: "", into: &mismatches)
        return mismatches
    }

    // The documents' depth limit bounds the recursion.
    private static func compare(
        _ expected: JSONValue, _ actual: JSONValue, at path: String,
        into mismatches: inout [Mismatch]
    ) {
        guard mismatches.count < limit else { return }
        let isEqual: Bool
        switch (expected.kind, actual.kind) {
        case (.object, .object):
            for member in expected.members {
                let inner = (path.isEmpty ? "" : path + ".") + pathComponent(member.name)
                if let found = actual[member.name] {
                    compare(member.value, found, at: inner, into: &mismatches)
                } else if mismatches.count < limit {
                    mismatches.append(Mismatch(path: inner, wanted: shown(member.value), got: nil))
                }
            }
            return
        case (.array, .array) where expected.elements.count == actual.elements.count:
            for (index, pair) in zip(expected.elements, actual.elements).enumerated() {
                compare(pair.0, pair.1, at: "\(path)[\(index)]", into: &mismatches)
            }
            return
        case (.number, .number):
            isEqual = ExactNumber(expected.rawBytes) == ExactNumber(actual.rawBytes)
        case (.string, .string):
            isEqual = expected.string.map { Array($0.utf8) } == actual.string.map { Array($0.utf8) }
        case (let wanted, let got): isEqual = wanted == got && wanted != .array
        }
        if !isEqual {
            mismatches.append(Mismatch(path: path, wanted: shown(expected), got: shown(actual)))
        }
    }

    private static func shown(_ value: JSONValue) -> String {
        let text = value.rawBytes
        return text.count <= 400
            ? value.rawText : String(decoding: text.prefix(400), as: UTF8.self) + "…"
    }
}

/// The value of a JSON number of any size and spelling.
struct ExactNumber: Hashable {
    /// The digits without zeros at either end; empty for 0.
    private var digits: [UInt8] = []
    private var isNegative = false
    /// The power of ten of the last digit.
    private var exponent = 0

    init(_ text: some Collection<UInt8>) {
        let parts = text.split { $0 | 0x20 == UInt8(ascii: "e") }
        let halves = parts[0].drop { $0 == UInt8(ascii: "-") }.split(separator: UInt8(ascii: "."))
        digits = Array(halves.joined())
        let zeros = digits.reversed().prefix { $0 == UInt8(ascii: "0") }.count
        digits = Array(digits.dropLast(zeros).drop { $0 == UInt8(ascii: "0") })
        guard !digits.isEmpty else { return }
        isNegative = text.first == UInt8(ascii: "-")
        // No text is long enough to compensate for a larger exponent: all of them are equal.
        let most = 1 << 40
        let power = parts.dropFirst().first.map { part in
            Int(String(decoding: part, as: UTF8.self))
                ?? (part.first == UInt8(ascii: "-") ? -most : most)
        }
        let fraction = halves.dropFirst().first?.count ?? 0
        exponent = min(max(power ?? 0, -most), most) - fraction + zeros
    }
}
