import MemslotPicture
import MemslotProtocol

/// A receipt that came over the wire, for a person.
struct ReceiptText {
    private let receipt: JSONValue

    init(_ receipt: JSONValue) { self.receipt = receipt }

    /// The calls and what they took.
    ///
    /// - Parameter isPlan: whether nothing was carried out.
    func lines(isPlan: Bool) -> [String] {
        let vm = receipt["vm"]?.string ?? ""
        let generation = receipt["generation"]?.uint64 ?? 0
        guard receipt["outcome"]?.isString("committed") ?? false else {
            return ["\(vm) has this array already: unchanged at generation \(generation)"]
        }
        var lines = calls.lines(width: Terminal.width, overflow: .wrap, colour: Terminal.usesColour)
        lines += ["", summary(vm: vm, generation: generation, isPlan: isPlan)]
        if let ids = pickedIDs { lines.append("ids in the file's order: \(ids)") }
        if !isPlan, receipt["retired"]?.bool == false {
            lines.append("readers of the old array are still there; its memory stays until they go")
        }
        for warning in receipt["warnings"]?.elements.compactMap(\.string) ?? [] {
            lines.append("warning: \(warning)")
        }
        return lines
    }

    private var calls: TextTable {
        var table = TextTable(columns: [
            TextTable.Column("#", .trailing), TextTable.Column("call"),
            TextTable.Column("slot", .trailing), TextTable.Column("guest address"),
            TextTable.Column("why"),
        ])
        for (index, operation) in (receipt["operations"]?.elements ?? none).enumerated() {
            table.append([
                "\(index)", "\(operation["op"]?.string ?? "")",
                "\(WireSlot.name(of: operation))",
                "\(operation["guestPhysicalAddress"]?.string ?? "")",
                TextTable.Cell(Self.reason(for: operation)),
            ])
        }
        return table
    }

    private func summary(vm: String, generation: UInt64, isPlan: Bool) -> String {
        let count = receipt["operationCount"]?.int ?? 0
        let isQuiesced = receipt["quiesced"]?.bool ?? false
        let calls = "\(count) kernel \(count == 1 ? "call" : "calls")"
        let fewest = receipt["optimal"]?.bool == true ? ", the fewest possible" : ""
        if isPlan {
            return "\(vm) would be at generation \(generation): \(calls)\(fewest)"
                + (isQuiesced ? "; vCPUs would be held out" : "; the guest would run on")
        }
        let times = receipt["nanoseconds"]
        let blackout = HumanDuration(nanoseconds: times?["blackout"]?.uint64 ?? 0)
        let total = HumanDuration(nanoseconds: times?["total"]?.uint64 ?? 0)
        return "\(vm) is at generation \(generation): \(calls)\(fewest), in \(total)"
            + (isQuiesced ? "; vCPUs were held out for \(blackout)" : "; the guest ran on")
    }

    /// Told only where the file left ids out.
    private var pickedIDs: String? {
        receipt["slots"].map { slots in
            slots.elements.map { WireSlot.name(of: $0) }.joined(separator: " ")
        }
    }

    private var none: JSONChildren<JSONValue> { receipt.elements }

    private static func reason(for operation: JSONValue) -> String {
        switch operation["because"]?.string {
        case "cycle": return "part of a circle of moves"
        case "replaced": return "replaced: it can't change in place"
        default: break
        }
        let flags = (operation["flags"]?.elements.compactMap(\.string) ?? []).joined(separator: " ")
        switch operation["op"]?.string {
        case "create": return flags.isEmpty ? "added" : "added, \(flags)"
        case "delete": return "removed"
        case "move": return "moved from \(operation["from"]?.string ?? "")"
        default: return flags.isEmpty ? "no flags now" : "\(flags) now"
        }
    }
}

/// How answers name a slot.
enum WireSlot {
    /// `3`, or `1:3` in address space 1, of an object with `slot` and maybe `addressSpace`.
    static func name(of slot: JSONValue) -> String {
        let id = slot["slot"]?.rawText ?? "?"
        guard let space = slot["addressSpace"]?.uint64, space != 0 else { return id }
        return "\(space):\(id)"
    }

    /// What is behind a slot, as its answer says it.
    static func backing(of slot: JSONValue) -> String {
        if let memory = slot["memory"]?.string {
            return "\(memory) +\(slot["memoryOffset"]?.string ?? "0x0")"
        }
        return slot["userspaceAddress"]?.string.map { "hva \($0)" } ?? "not told"
    }
}
