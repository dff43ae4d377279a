import MemslotPicture
import MemslotProtocol
import Memslots

struct ReceiptText {
    private let receipt: JSONValue

    init(_ receipt: JSONValue) { self.receipt = receipt }

    func lines(isPlan: Bool) -> [String] {
        let vm = receipt["vm"]?.string ?? ""
        let generation = receipt["generation"]?.uint64 ?? 0
        guard receipt["outcome"]?.isString("committed") ?? false else {
            return ["\(vm) has this array already: unchanged at generation \(generation)"]
        }
        var lines = Terminal.lines(calls)
        lines += receipt.list("attributes").map {
            ($0["private"]?.bool == true ? "private" : "shared") + ": \($0["size"]?.string ?? "") "
                + "bytes from \($0["guestPhysicalAddress"]?.string ?? "") on"
        }
        lines += ["", summary(vm: vm, generation: generation, isPlan: isPlan)]
        // Only if the file had no ids.
        if receipt["slots"] != nil {
            let ids = receipt.list("slots").map { WireSlot.name(of: $0) }.joined(separator: " ")
            lines.append("ids in the file's order: \(ids)")
        }
        if !isPlan, receipt["retired"]?.bool == false {
            lines.append("the old array still has readers; its memory is kept until they leave")
        }
        lines += receipt.list("observers").map(Self.line(about:))
        return lines + receipt.strings("warnings")
    }

    /// `disk is attached with 2 regions, and was sent ADD_MEM_REG: 1, GET_FEATURES: 1`.
    static func line(about observer: JSONValue) -> String {
        let sent = observer.objects("messages").map {
            "\($0.key.string ?? ""): \($0.value.rawText)"
        }
        let reason = observer["reason"]?.string.map { " (\($0))" } ?? ""
        return [observer["observer"], observer["state"]].compactMap { $0?.string }
            .joined(separator: " is ") + reason + " with "
            + counted(observer["regions"]?.int ?? 0, "region") + ", and was sent "
            + (sent.isEmpty ? "nothing" : sent.joined(separator: ", "))
    }

    private var calls: TextTable {
        var table = TextTable(columns: [
            .numbers("#"), "call", .numbers("slot"), "guest address", "why",
        ])
        for (index, operation) in receipt.list("operations").enumerated() {
            table.append([
                "\(index)", "\(operation["op"]?.string ?? "")", "\(WireSlot.name(of: operation))",
                "\(operation["guestPhysicalAddress"]?.string ?? "")",
                TextTable.Cell(Self.reason(for: operation)),
            ])
        }
        return table
    }

    private func summary(vm: String, generation: UInt64, isPlan: Bool) -> String {
        let isQuiesced = receipt["quiesced"]?.bool ?? false
        let reason = receipt["because"]?.string.map { " (\($0))" } ?? ""
        let calls = counted(receipt["operationCount"]?.int ?? 0, "kernel call")
        let fewest = receipt["optimal"]?.bool == true ? ", the fewest possible" : ""
        if isPlan {
            return "\(vm) would be at generation \(generation): \(calls)\(fewest)"
                + (isQuiesced ? "; vCPUs would be held\(reason)" : "; the guest would keep running")
        }
        let times = receipt["nanoseconds"]
        let blackout = times?.duration("blackout") ?? "?"
        let total = times?.duration("total") ?? "?"
        return "\(vm) is at generation \(generation): \(calls)\(fewest), in \(total)"
            + (isQuiesced
                ? "; vCPUs were held for \(blackout)\(reason)" : "; the guest kept running")
    }

    private static func reason(for operation: JSONValue) -> String {
        switch operation["because"]?.string {
        case "cycle": return "part of a cycle of moves"
        case "replaced": return "replaced: it can't change in place"
        default: break
        }
        let flags = operation.strings("flags").joined(separator: " ")
        switch operation["op"]?.string {
        case "create": return flags.isEmpty ? "added" : "added, \(flags)"
        case "delete": return "removed"
        case "move": return "moved from \(operation["from"]?.string ?? "")"
        default: return flags.isEmpty ? "no flags now" : "\(flags) now"
        }
    }
}

enum WireSlot {
    /// `3`, or `1:3` in address space 1, of an object with `slot` and perhaps `addressSpace`.
    static func name(of slot: JSONValue) -> String {
        let id = slot["slot"]?.rawText ?? "?"
        guard let space = slot["addressSpace"]?.uint64, space != 0 else { return id }
        return "\(space):\(id)"
    }

    /// The backing of a slot; `hidden` if the daemon does not send it.
    static func backing(of slot: JSONValue) -> String {
        if let memory = slot["memory"]?.string {
            return "\(memory) +\(slot["memoryOffset"]?.string ?? "0x0")"
        }
        return slot["userspaceAddress"]?.string.map { "hva \($0)" } ?? "hidden"
    }

    /// The changes of a diff: `removed 1, replaced 0, added 2 3`.
    static func changes(in diff: JSONValue?) -> String {
        func names(_ member: String) -> [String] { diff?.list(member).map(key) ?? [] }
        let (added, removed) = (names("added"), names("removed"))
        let replaced = added.filter(removed.contains)
        let groups: [(sign: String, names: [String])] = [
            ("removed", removed.filter { !replaced.contains($0) }), ("replaced", replaced),
            ("moved", names("moved")), ("added", added.filter { !replaced.contains($0) }),
            ("reflagged", names("reflagged")),
        ]
        return groups.filter { !$0.names.isEmpty }
            .map { "\($0.sign) \(shortened($0.names))" }.joined(separator: ", ")
    }

    /// `3`, or `1:3` in address space 1, of a key in a diff.
    static func key(_ slot: JSONValue) -> String {
        slot["addressSpace"] == nil ? slot.rawText : name(of: slot)
    }

    private static func shortened(_ names: [String]) -> String {
        let most = 8
        let shown = names.prefix(most).joined(separator: " ")
        return names.count > most ? "\(shown) … (\(names.count))" : shown
    }
}
