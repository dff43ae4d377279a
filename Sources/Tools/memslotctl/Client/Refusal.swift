import MemslotProtocol

/// An error that the daemon answered, in sentences for a person: what is wrong, where, and what
/// to do.
struct Refusal {
    private let error: JSONValue

    init(_ error: JSONValue) { self.error = error }

    /// A line for each fault, and what to do about it.
    ///
    /// - Parameter file: the array that was sent; faults are told with their lines in it.
    func lines(about file: SubmittedFile?) -> [String] {
        let message = error["message"]?.string ?? error.rawText
        let data = error["data"]
        guard let file, let violations = data?["violations"]?.elements, violations.count > 0 else {
            let place = file.flatMap { Self.place(data, in: $0) }.map { "\($0): " } ?? ""
            let remedy = Remedy.of(data?["kind"]?.string).map { "\($0)" }
            return ["\(place)\(message)"] + (remedy.map { ["What to do: \($0)."] } ?? [])
        }
        var lines: [String] = []
        for violation in violations {
            // The message is of the first; the others have their kinds only.
            let first = lines.isEmpty ? Self.detail(message) : nil
            lines.append(Self.line(violation, detail: first, in: file))
        }
        let count = data?["violationCount"]?.int ?? lines.count
        if count > lines.count {
            lines.append("\(file.name): and \(count - lines.count) more faults")
        }
        return lines + ["Nothing of the array took effect."]
    }

    private static func line(
        _ violation: JSONValue, detail: String?, in file: SubmittedFile
    ) -> String {
        let kind = violation["kind"]?.string ?? "invalid"
        let place = place(violation, in: file) ?? file.name
        var text = "\(place): "
        if let slot = violation["slot"] {
            let space = violation["addressSpace"]?.uint64 ?? 0
            text += space == 0 ? "slot \(slot.rawText): " : "slot \(space):\(slot.rawText): "
        }
        text += detail ?? faultWords(violation, kind, in: file)
        return text + (Remedy.of(kind).map { " (\($0))" } ?? "")
    }

    private static func faultWords(
        _ violation: JSONValue, _ kind: String, in file: SubmittedFile
    ) -> String {
        let words = kind.split(separator: "-").joined(separator: " ")
        let path = violation["path"]?.string ?? ""
        let value = file.value(at: path).map { ": \($0)" } ?? ""
        let other = violation["otherSlot"].map { ", with slot \($0.rawText)" } ?? ""
        return "\(words)\(other)\(value)"
    }

    /// `FILE:LINE` of the slot that `path` names.
    private static func place(_ data: JSONValue?, in file: SubmittedFile) -> String? {
        guard let path = data?["path"]?.string, let line = file.line(at: path) else { return nil }
        return "\(file.name):\(line)"
    }

    /// The first fault's words, without the place before and the count after.
    private static func detail(_ message: String) -> String? {
        guard let place = message.firstRange(of: " at slots["),
            let colon = message[place.upperBound...].firstRange(of: "]: ")
        else { return nil }
        let detail = message[colon.upperBound...]
        guard let count = detail.lastIndex(of: "("), detail.hasSuffix(" faults in all)") else {
            return String(detail)
        }
        return String(detail[..<count].dropLast())
    }
}
