import MemslotPicture
import MemslotProtocol
import MemslotScenario
import MemslotService
import Memslots

struct ReplayReport {
    private let file: String
    private var title, source: String?
    private var rows: [ReplayRow] = []
    private var unmet: [ScenarioPlayer.Played] = []
    private var skipped: [ScenarioPlayer.Played] = []
    private var requests = 0
    /// Whether a VM is of KVM: a simulated one has no vCPUs to hold.
    private var hasKVM = false
    private var vms: [String] = []
    /// Whether only mismatches are printed; then rows are not kept.
    private let isQuiet: Bool

    init(file: String, isQuiet: Bool) { (self.file, self.isQuiet) = (file, isQuiet) }

    private(set) var isMet = true

    mutating func record(_ step: ScenarioStep) {
        if case .header(let scenario, let source) = step.content {
            title = title ?? scenario
            self.source = self.source ?? source
        }
    }

    mutating func record(_ played: ScenarioPlayer.Played) {
        requests += 1
        if played.reply?["result"]?["backend"]?.isString("kvm") == true { hasKVM = true }
        isMet = isMet && played.mismatches.isEmpty
        if played.skipped != nil { skipped.append(played) }
        if !played.mismatches.isEmpty { unmet.append(played) }
        if let vm = played.vm, !vms.contains(vm) { vms.append(vm) }
        if !isQuiet, let row = ReplayRow(played) { rows.append(row) }
    }

    func printMismatches() {
        for played in unmet {
            Terminal.complain(
                "\(file):\(played.line): \(Terminal.safe(played.method)): not as expected")
            for mismatch in played.mismatches {
                Terminal.complain("  \(Terminal.safe(mismatch.path))")
                Terminal.complain("    - wanted \(Terminal.safe(mismatch.wanted))")
                Terminal.complain("    + got    \(Terminal.safe(mismatch.got ?? "nothing"))")
            }
        }
    }

    func print(player: inout ScenarioPlayer) throws {
        let name = title ?? file
        let heading = Terminal.safe(source.map { "\(name) — \($0)" } ?? name)
        let lines = rows.isEmpty ? [] : Terminal.lines(table) + [""]
        Terminal.print([heading, ""] + lines + totals)
        for vm in vms {
            guard let slots = try player.slots(of: vm), slots.elements.count > 0 else { continue }
            Terminal.print("\nMemory of \(Terminal.safe(vm)) at the end:\n")
            let array = PicturedArray(result: slots)
            Terminal.print(array.map.lines(Terminal.textOptions))
            Terminal.print(ArrayFindings(array.slots).all.map(\.description))
        }
    }

    private var table: TextTable {
        let severalVMs = Set(rows.map(\.vm)).count > 1
        let recorded = rows.contains { $0.recorded != nil }
        var table = TextTable(columns: [
            .numbers("generation"), severalVMs ? "VM" : nil, .numbers("kernel calls"),
            recorded ? .numbers("recorded") : nil, "vCPUs held",
            hasKVM ? .numbers("blackout") : nil, "change",
        ])
        for row in rows {
            // A dash if no vCPU was held.
            let blackout = row.holdReason.map { _ in "\(HumanDuration(nanoseconds: row.blackout))" }
            table.append([
                "\(row.generation)", severalVMs ? "\(row.vm)" : nil, "\(row.operations)",
                recorded ? "\(row.recorded.map(String.init) ?? "")" : nil,
                "\(row.holdReason ?? "–")", hasKVM ? "\(blackout ?? "–")" : nil,
                .init(row.change, ink: row.ink),
            ])
        }
        return table
    }

    private var totals: [String] {
        let committed = rows.filter(\.isCommitted)
        let calls = committed.reduce(0) { $0 + $1.operations }
        let recorded = rows.compactMap(\.recorded).reduce(0, +)
        let blackouts = committed.map(\.blackout)
        let total = HumanDuration(nanoseconds: blackouts.reduce(0, +))
        let longest = HumanDuration(nanoseconds: blackouts.max() ?? 0)
        let sums = [
            "\(counted(committed.count, "transaction")), \(counted(calls, "kernel call"))"
                + (recorded > 0 ? "; the recorded VMM made \(recorded), one by one" : ""), holds,
        ]
        return (rows.isEmpty ? [] : sums)
            + (hasKVM && !rows.isEmpty
                ? ["blackouts: \(total) in total, \(longest) at most"] : []) + remaining
    }

    /// How many transactions hold vCPUs, and how many of them for each reason.
    private var holds: String {
        let reasons = rows.compactMap(\.holdReason)
        let counts = HoldReason.allCases.compactMap { reason -> String? in
            let count = reasons.count { $0 == reason.rawValue }
            return count > 0 ? "\(reason.rawValue) \(count)" : nil
        }
        let why = counts.isEmpty ? "" : ": \(counts.joined(separator: ", "))"
        return "vCPUs are held for \(reasons.count) of them\(why)"
    }

    private var remaining: [String] {
        let met = requests - unmet.count - skipped.count
        return skipped.map { "skipped line \($0.line), \($0.method): \($0.skipped ?? "")" } + [
            "\(counted(requests, "request")): \(met) as expected, \(unmet.count) not, "
                + "\(skipped.count) skipped"
        ]
    }
}

struct ReplayRow {
    let vm: String
    private(set) var generation = "–"
    private(set) var operations = 0
    let recorded: UInt64?
    private(set) var blackout: UInt64 = 0
    private(set) var isCommitted = false
    /// Why vCPUs were held; `nil` if they were not.
    private(set) var holdReason: String?
    let change: String
    let ink: Ink

    init?(_ played: ScenarioPlayer.Played) {
        guard played.method == Method.memslotsSubmit.rawValue, let reply = played.reply
        else { return nil }
        vm = played.vm ?? ""
        recorded = played.recordedOperations
        guard let receipt = reply["result"] else {
            change = "refused: \(reply["error"]?["data"]?["kind"]?.string ?? "error")"
            ink = played.mismatches.isEmpty ? .yellow : .red
            return
        }
        generation = String(receipt["generation"]?.uint64 ?? 0)
        operations = receipt["operationCount"]?.int ?? 0
        blackout = receipt["nanoseconds"]?["blackout"]?.uint64 ?? 0
        isCommitted = receipt["outcome"]?.isString("committed") ?? false
        if isCommitted, receipt["quiesced"]?.bool == true {
            holdReason = receipt["because"]?.string ?? "unknown"
        }
        change = isCommitted ? WireSlot.changes(in: receipt["diff"]) : "unchanged"
        ink = played.mismatches.isEmpty ? .plain : .red
    }
}
