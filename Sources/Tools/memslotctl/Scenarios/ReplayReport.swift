import MemslotPicture
import MemslotProtocol
import MemslotScenario
import MemslotService

/// Gathers what a replay did, and tells it to a person.
struct ReplayReport {
    private let file: String
    private var title: String?
    private var source: String?
    private var rows: [ReplayRow] = []
    private var unmet: [ScenarioPlayer.Played] = []
    private var skipped: [ScenarioPlayer.Played] = []
    private var requests = 0
    private var vms: [String] = []

    /// Whether what is not told is not kept either.
    private let isQuiet: Bool

    init(file: String, isQuiet: Bool) {
        self.file = file
        self.isQuiet = isQuiet
    }

    /// Whether every expectation was met.
    private(set) var isMet = true

    mutating func note(_ step: ScenarioStep) {
        if case .header(let scenario, let source) = step.content {
            title = title ?? scenario
            self.source = self.source ?? source
        }
    }

    mutating func note(_ played: ScenarioPlayer.Played) {
        requests += 1
        isMet = isMet && played.mismatches.isEmpty
        if played.skipped != nil { skipped.append(played) }
        if !played.mismatches.isEmpty { unmet.append(played) }
        if let vm = played.vm, !vms.contains(vm) { vms.append(vm) }
        if !isQuiet, let row = ReplayRow(played) { rows.append(row) }
    }

    /// What was not met: where, what was wanted, what came.
    func printMismatches() {
        for played in unmet {
            Terminal.complain(
                "\(file):\(played.line): \(Terminal.safe(played.method)) did not answer as expected"
            )
            for mismatch in played.mismatches {
                Terminal.complain("  \(Terminal.safe(mismatch.path))")
                Terminal.complain("    - wanted \(Terminal.safe(mismatch.wanted))")
                Terminal.complain("    + got    \(Terminal.safe(mismatch.got ?? "nothing"))")
            }
        }
    }

    /// The table of transactions, the totals, and the map at the end.
    func print(player: inout ScenarioPlayer) throws {
        Swift.print(heading)
        Swift.print("")
        if !rows.isEmpty {
            Terminal.print(table.lines(width: Terminal.width, colour: Terminal.usesColour))
            Swift.print("")
        }
        Terminal.print(totals)
        for vm in vms {
            guard let slots = try player.slots(of: vm), slots.elements.count > 0 else { continue }
            Swift.print("\nMemory of \(Terminal.safe(vm)) at the end:\n")
            let array = PicturedArray(answer: slots)
            Terminal.print(array.map.lines(Terminal.textOptions))
        }
    }

    private var heading: String {
        let name = title ?? file
        return Terminal.safe(source.map { "\(name) — \($0)" } ?? name)
    }

    private var table: TextTable {
        let severalVMs = Set(rows.map(\.vm)).count > 1
        let recorded = rows.contains { $0.recorded != nil }
        var columns = [TextTable.Column("generation", .trailing)]
        if severalVMs { columns.append(TextTable.Column("VM")) }
        columns.append(TextTable.Column("kernel calls", .trailing))
        if recorded { columns.append(TextTable.Column("recorded", .trailing)) }
        columns.append(TextTable.Column("blackout", .trailing))
        columns.append(TextTable.Column("change"))
        var table = TextTable(columns: columns)
        for row in rows {
            var cells: [TextTable.Cell] = ["\(row.generation)"]
            if severalVMs { cells.append("\(row.vm)") }
            cells.append("\(row.operations)")
            if recorded { cells.append("\(row.recorded.map(String.init) ?? "")") }
            cells.append("\(row.blackoutText)")
            cells.append(TextTable.Cell(row.change, ink: row.ink))
            table.append(cells)
        }
        return table
    }

    private var totals: [String] {
        var lines: [String] = []
        let committed = rows.filter(\.isCommitted)
        if !rows.isEmpty {
            let calls = committed.reduce(0) { $0 + $1.operations }
            let recorded = rows.compactMap(\.recorded).reduce(0, +)
            var line =
                "\(Self.count(committed.count, "transaction")), \(Self.count(calls, "kernel call"))"
            if recorded > 0 {
                line += "; the recorded VMM made \(recorded), one by one"
            }
            lines.append(line)
            let blackouts = committed.map(\.blackout)
            let total = HumanDuration(nanoseconds: blackouts.reduce(0, +))
            let longest = HumanDuration(nanoseconds: blackouts.max() ?? 0)
            let held = committed.filter(\.isQuiesced).count
            lines.append(
                "vCPUs are held out for \(held) of them: \(total) in all, \(longest) at most")
        }
        for played in skipped {
            lines.append("skipped line \(played.line), \(played.method): \(played.skipped ?? "")")
        }
        let met = requests - unmet.count - skipped.count
        lines.append(
            "\(Self.count(requests, "request")): \(met) as expected, \(unmet.count) not, \(skipped.count) skipped"
        )
        return lines
    }

    private static func count(_ number: Int, _ noun: String) -> String {
        number == 1 ? "1 \(noun)" : "\(number) \(noun)s"
    }
}

/// One submit of a replay, as one line of its table.
struct ReplayRow {
    let vm: String
    let generation: String
    let operations: Int
    let recorded: UInt64?
    let blackout: UInt64
    let isCommitted: Bool
    let isQuiesced: Bool
    let change: String
    let ink: Ink

    /// The row of a submit; `nil` for any other line.
    init?(_ played: ScenarioPlayer.Played) {
        guard played.method == Method.memslotsSubmit.rawValue, let response = played.response
        else { return nil }
        vm = played.vm ?? ""
        recorded = played.recordedOperations
        guard let receipt = response["result"] else {
            let error = response["error"]
            generation = "–"
            operations = 0
            blackout = 0
            isCommitted = false
            isQuiesced = false
            let kind = error?["data"]?["kind"]?.string ?? "error"
            change = "refused: \(kind)"
            ink = played.mismatches.isEmpty ? .yellow : .red
            return
        }
        generation = String(receipt["generation"]?.uint64 ?? 0)
        operations = receipt["operationCount"]?.int ?? 0
        blackout = receipt["nanoseconds"]?["blackout"]?.uint64 ?? 0
        isCommitted = receipt["outcome"]?.isString("committed") ?? false
        isQuiesced = receipt["quiesced"]?.bool ?? false
        change = isCommitted ? Self.words(for: receipt["diff"]) : "unchanged"
        ink = played.mismatches.isEmpty ? .plain : .red
    }

    /// A dash where no vCPU was held out.
    var blackoutText: String {
        isQuiesced && isCommitted ? HumanDuration(nanoseconds: blackout).description : "–"
    }

    /// What was changed; a slot in both lists was replaced.
    static func words(for diff: JSONValue?) -> String {
        func names(_ member: String) -> [String] {
            (diff?[member]?.elements).map { $0.map(Self.name) } ?? []
        }
        let (added, removed) = (names("added"), names("removed"))
        let replaced = added.filter(removed.contains)
        let groups: [(sign: String, names: [String])] = [
            ("removed", removed.filter { !replaced.contains($0) }),
            ("replaced", replaced),
            ("moved", names("moved")),
            ("added", added.filter { !replaced.contains($0) }),
            ("reflagged", names("reflagged")),
        ]
        return groups.filter { !$0.names.isEmpty }
            .map { "\($0.sign) \(shortened($0.names))" }.joined(separator: ", ")
    }

    /// `3`, or `1:3` in address space 1, of an id in a diff.
    static func name(_ slot: JSONValue) -> String {
        guard let space = slot["addressSpace"]?.uint64 else { return slot.rawText }
        return "\(space):\(slot["slot"]?.uint64 ?? 0)"
    }

    private static func shortened(_ names: [String]) -> String {
        let most = 8
        let shown = names.prefix(most).joined(separator: " ")
        return names.count > most ? "\(shown) … (\(names.count))" : shown
    }
}
