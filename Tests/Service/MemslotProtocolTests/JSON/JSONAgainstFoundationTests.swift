import Foundation
import MemslotProtocol
import Testing

@Suite("The JSON reader against Foundation's")
struct JSONAgainstFoundationTests {
    @Test("valid documents are read, every value as Foundation reads it")
    func validDocuments() {
        var documents = RandomDocument(seed: 1)
        var failures: [String] = []
        for _ in 0..<3_000 {
            let text = documents.valid()
            let shown = String(decoding: text, as: UTF8.self)
            guard let document = try? JSONDocument(parsing: text) else {
                failures.append("refused: \(shown)")
                continue
            }
            guard let theirs = foundation(text) else {
                failures.append("Foundation refuses: \(shown)")
                continue
            }
            if let difference = difference(document.root, theirs) {
                failures.append("\(difference) in \(shown)")
            }
        }
        #expect(failures.isEmpty, "\(failures.count): \(failures.prefix(3))")
    }

    @Test("damaged documents are refused where Foundation refuses, and else read alike")
    func damagedDocuments() {
        var documents = RandomDocument(seed: 2)
        var failures: [String] = []
        var refused = 0
        for _ in 0..<20_000 {
            let text = documents.damaged()
            let ours = try? JSONDocument(parsing: text)
            let theirs = foundation(text)
            refused += ours == nil ? 1 : 0
            // A number that no double holds is JSON all the same; Foundation can't make one.
            if let ours, theirs == nil, hasHugeNumber(ours.root) { continue }
            // Foundation accepts a comma before the closing brace. RFC 8259 does not, nor do we.
            if ours == nil, theirs != nil, hasTrailingComma(text) { continue }
            if (ours == nil) != (theirs == nil) {
                failures.append(
                    "\(ours == nil ? "we" : "they") alone refuse "
                        + String(decoding: text, as: UTF8.self) + " \(text)")
            } else if let ours, let theirs, let difference = difference(ours.root, theirs) {
                failures.append("\(difference) in \(String(decoding: text, as: UTF8.self))")
            }
        }
        #expect(failures.isEmpty, "\(failures.count): \(failures.prefix(5))")
        #expect(refused > 5_000 && refused < 20_000)
    }

    private func hasHugeNumber(_ value: JSONValue) -> Bool {
        switch value.kind {
        case .number: !(Double(value.rawText) ?? .infinity).isFinite
        case .array: value.elements.contains { hasHugeNumber($0) }
        case .object: value.members.contains { hasHugeNumber($0.value) }
        default: false
        }
    }

    private func hasTrailingComma(_ text: [UInt8]) -> Bool {
        do throws(JSONError) {
            _ = try JSONDocument(parsing: text)
            return false
        } catch {
            return error.problem == .noName && text[error.offset] == UInt8(ascii: "}")
        }
    }

    private func foundation(_ text: [UInt8]) -> Any? {
        try? JSONSerialization.jsonObject(with: Data(text), options: [.fragmentsAllowed])
    }

    private func difference(_ ours: JSONValue, _ theirs: Any) -> String? {
        switch ours.kind {
        case .null: return theirs is NSNull ? nil : "null"
        case .true, .false: return theirs as? Bool == ours.bool ? nil : "bool \(theirs)"
        case .string: return theirs as? String == ours.string ? nil : "string \(theirs)"
        case .number: return numberDifference(ours, theirs)
        case .array:
            guard let list = theirs as? [Any], list.count == ours.elements.count else {
                return "elements \(theirs)"
            }
            return zip(ours.elements, list).lazy.compactMap { difference($0, $1) }.first
        case .object:
            guard let object = theirs as? [String: Any] else { return "object \(theirs)" }
            let members = Array(ours.members)
            // Which of two members Foundation keeps is its own affair.
            if Set(members.map(\.name)).count < members.count { return nil }
            guard members.count == object.count else { return "members \(theirs)" }
            return members.lazy.compactMap { member in
                guard let value = object[member.name] else { return "name \(member.name)" }
                return difference(member.value, value)
            }.first
        }
    }

    private func numberDifference(_ ours: JSONValue, _ theirs: Any) -> String? {
        guard let number = theirs as? NSNumber else { return "number \(theirs)" }
        if let integer = ours.uint64 {
            return number.uint64Value == integer ? nil : "\(integer) is not \(number)"
        }
        let wanted = Double(ours.rawText) ?? .nan
        return abs(number.doubleValue - wanted) <= abs(wanted) * 1e-15
            ? nil : "\(ours.rawText) is not \(number)"
    }
}
