import MemslotProtocol

/// An error reply of a daemon as sentences: the fault, its place, and what to do.
struct Refusal {
    private let error: JSONValue

    init(_ error: JSONValue) { self.error = error }

    /// A line for each fault with what to do about it.
    ///
    /// - Parameter file: the array that was sent, for the lines of its faults.
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
            // The message describes the first fault; the others have only their kinds.
            let first = lines.isEmpty ? Self.detail(message) : nil
            lines.append(Self.line(violation, detail: first, in: file))
        }
        let count = data?["violationCount"]?.int ?? lines.count
        if count > lines.count {
            lines.append("\(file.name): and \(count - lines.count) more faults")
        }
        return lines + ["Nothing was changed."]
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
        text += detail ?? faultText(violation, kind, in: file)
        return text + (Remedy.of(kind).map { " (\($0))" } ?? "")
    }

    private static func faultText(
        _ violation: JSONValue, _ kind: String, in file: SubmittedFile
    ) -> String {
        let text = kind.split(separator: "-").joined(separator: " ")
        let path = violation["path"]?.string ?? ""
        let value = file.value(at: path).map { ": \($0)" } ?? ""
        let other = violation["otherSlot"].map { ", with slot \($0.rawText)" } ?? ""
        return "\(text)\(other)\(value)"
    }

    /// `FILE:LINE` of the slot in the member `path`.
    private static func place(_ data: JSONValue?, in file: SubmittedFile) -> String? {
        guard let path = data?["path"]?.string, let line = file.line(at: path) else { return nil }
        return "\(file.name):\(line)"
    }

    /// The message of the first fault, without its place and the count of faults.
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

/// What to do about an error, by its kind on the wire.
enum Remedy {
    /// A clause; `nil` if the message is enough.
    static func of(_ kind: String?) -> String? {
        kind.flatMap { ofArray[$0] ?? ofRequest[$0] }
    }

    private static let ofArray = [
        "misaligned-address": "make the guest physical address a multiple of 0x1000",
        "misaligned-size": "make the size a multiple of 0x1000",
        "zero-size": "omit the slot to remove it",
        "address-overflow": "lower the address or the size",
        "address-too-large": "lower the address; memslotctl info prints the guest's address bits",
        "size-too-large": "split it into several slots",
        "bad-userspace-address": "give a page-aligned address within user space",
        "overlap": "move or shrink one of the two",
        "duplicate-slot": "give it another id, or omit \"slot\" to have one picked",
        "slot-out-of-range": "give a lower id, or omit \"slot\" to have one picked",
        "bad-address-space": "use an address space that the VM has",
        "too-many-slots": "merge neighbours with one backing",
        "unsupported-flag": "omit the flag",
        "reserved-address": "use another address: KVM reserves this one",
        "backing-missing": "give \"memory\", or \"userspaceAddress\" on a simulated VM",
        "backing-ambiguous": "give either \"memory\" or \"userspaceAddress\"",
        "backing-out-of-bounds": "lower the offset or the size, or make the memory larger",
        "backing-misaligned":
            "align the offset to the page size that memslotctl memory list prints",
        "unknown-memory": "create it with memslotctl memory create",
        "raw-address-refused": "create memory with memslotctl memory create and name it",
        "guest-memfd-missing": "create one with memslotctl memory create --backing guest-memfd",
        "guest-memfd-range-bound": "give each slot a range of its own",
    ]

    private static let ofRequest = [
        "unknown-vm": "memslotctl list prints all VMs; memslotctl create creates one",
        "unknown-slot": "memslotctl map --vm prints all slots",
        "unknown-generation": "memslotctl history prints what is kept",
        "vm-exists": "use it, choose another name, or memslotctl destroy it",
        "memory-exists": "choose another name",
        "generation-conflict":
            "read the array again with memslotctl get, and submit against that generation",
        "rolled-back": "submit again; if it fails again, the errno shows why",
        "vm-failed": "memslotctl recover retries the undo",
        "limit-exceeded": "memslotctl info prints the limits",
        "not-permitted": "ask the daemon's owner for more than the read-only role",
        "backend-unavailable":
            "memslotctl info prints the reason; --backend simulated always works",
        "quiesce-timeout": "submit again, with a longer --deadline-ms",
        "shutting-down": "start the daemon again",
    ]
}
