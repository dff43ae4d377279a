import MemslotProtocol
import MemslotScenario

/// An error reply of a daemon as sentences: the fault, its place, and what to do.
struct Refusal {
    private let error: JSONValue
    private let hint: Hint
    /// Whether the request makes sense for a VM that is created first.
    private let isForNewVM: Bool

    init(_ error: JSONValue, _ hint: Hint, method: String? = nil) {
        (self.error, self.hint) = (error, hint)
        isForNewVM =
            method != Method.vmDestroy.rawValue && method != Method.eventsSubscribe.rawValue
    }

    /// A line for each fault with what to do about it, and its line in the file that was sent.
    func lines(about file: ArrayFile?) -> [String] {
        let message = error["message"]?.string ?? error.rawText
        let data = error["data"]
        guard let file, let violations = data?["violations"]?.elements, violations.count > 0 else {
            let place = file.flatMap { Self.place(data, in: $0) }.map { "\($0): " } ?? ""
            return ["\(place)\(message)"]
                + [remedy(data)].compactMap { $0.map { "What to do: \($0)." } }
        }
        var lines = violations.map { line($0, in: file) }
        let count = data?["violationCount"]?.int ?? lines.count
        if count > lines.count {
            lines.append("\(file.name): and \(count - lines.count) more faults")
        }
        return lines + ["Nothing was changed."]
    }

    private func line(_ violation: JSONValue, in file: ArrayFile) -> String {
        // The line of the file replaces the place in the request. Version 0.2.0 sends no message.
        var text = violation["message"]?.string ?? violation["kind"]?.string ?? violation.rawText
        // A slot without an id has no other name.
        if text.hasPrefix("a slot without id at ") {
            text.removeFirst("a slot without id at ".count)
        } else if let start = text.firstRange(of: " at slots["), let end = text.firstIndex(of: "]")
        {
            text.removeSubrange(start.lowerBound...end)
        }
        text = "\(Self.place(violation, in: file) ?? file.name): \(text)"
        return text + (remedy(violation).map { " (\($0))" } ?? "")
    }

    private static func place(_ data: JSONValue?, in file: ArrayFile) -> String? {
        guard let path = data?["path"]?.string, let line = file.line(at: path) else { return nil }
        return "\(file.name):\(line)"
    }

    private func remedy(_ data: JSONValue?) -> String? {
        let kind = data?["kind"]?.string
        // Only a VM that could not be restored has a reason.
        if kind == "vm-exists", data?["reason"] != nil {
            return hint.expand(
                "remove the cause and restart the daemon, or give the VM up with {destroy VM}")
        }
        if kind == "unknown-vm", !isForNewVM { return hint.expand("{list} prints all VMs") }
        return kind.flatMap { Remedy.all[$0] }.map(hint.expand)
    }
}

enum Remedy {
    /// Clauses for ``Hint/expand(_:)``, for errors whose message is not enough.
    static let all = [
        "address-too-large": "{info} prints the guest's address bits",
        "backing-misaligned": "{memory list VM} prints the page size",
        "unknown-memory": "create it with {memory create VM NAME --size SIZE}",
        "raw-address-refused": "name memory that {memory create VM NAME --size SIZE} creates",
        "guest-memfd-missing": "{memory create VM NAME --size SIZE --backing guest-memfd}",
        "unknown-vm": "{list} prints all VMs; {create VM} creates it",
        "unknown-slot": "{map --vm VM} prints all slots",
        "unknown-generation": "{history VM} prints what is kept",
        "vm-exists": "use it, choose another name, or end it with {destroy VM}",
        "generation-conflict": "read it again with {get VM}, and submit against that generation",
        "vm-failed": "{recover VM} retries the undo",
        "limit-exceeded": "{info} prints the limits",
        "backend-unavailable": "{info} prints the reason; --backend simulated always works",
        "quiesce-timeout": "submit again, with a longer --deadline-ms",
    ]
}
