import Memslots

extension ImportReport {
    /// The report for a person: a summary, a table of the transactions, and what was odd.
    ///
    /// Lines end with a newline. Times are strace's, which stretches them.
    public var text: String {
        var text = summary
        text += "\n" + table
        let notes = notes
        if !notes.isEmpty { text += "\n" + notes.map { "note: \($0)\n" }.joined() }
        return text
    }

    private var summary: String {
        let transactions = scenario.transactions
        var text = "\(scenario.name): "
        text += Units.count(counts.slotCalls, "slot call") + " by "
        text += Units.count(threads.count, "thread") + " in "
        text += Units.count(transactions.count, "transaction") + " on "
        text += Units.count(scenario.machines.count, "VM")
        text += unchangedTransactions == 0 ? "\n" : ", \(unchangedTransactions) without effect\n"
        let failed = counts.failedCalls.values.reduce(0, +)
        if failed > 0 {
            let kinds = counts.failedCalls.sorted { $0.key < $1.key }
                .map { "\($0.value) \($0.key)" }
            text += "left out: " + Units.count(failed, "failed call")
            text += " (\(kinds.joined(separator: ", ")))\n"
        }
        guard transactionsWithHoles > 0 else {
            return text + "no memory was missing within a transaction\n"
        }
        text += "memory that was mapped before and after was missing in between in "
        text += Units.count(transactionsWithHoles, "transaction")
        text += ": \(Units.bytes(missing)) in all, for at most "
        text += "\(Units.duration(longestNanoseconds)), "
        text += "\(Units.duration(totalNanoseconds)) in sum"
        let inGuest = transactionsWithHolesInGuest
        if inGuest > 0 {
            text += "; in \(inGuest) of them another thread was in the guest meanwhile"
        }
        return text + "\n"
    }

    private var table: String {
        var table = TextTable(columns: [
            .init("#", .right), .init("VM"),
            .init(scenario.startTime == nil ? "line" : "at", .right),
            .init("thread", .right), .init("calls", .right), .init("what"),
            .init("missing", .right), .init("longest", .right), .init("in sum", .right),
            .init("guest"),
        ])
        if scenario.machines.count == 1 { table.hide("VM") }
        for (index, transaction) in scenario.transactions.enumerated() {
            let audit = transaction.audit
            let start = scenario.startTime
            let at = start.flatMap { start in
                transaction.time.map { "\(Units.seconds($0.nanoseconds(since: start))) s" }
            }
            let times = [audit.longestNanoseconds, audit.totalNanoseconds]
            table.add(
                [
                    "\(index + 1)", scenario.machines[transaction.machine].name,
                    at ?? "\(transaction.line)", "\(transaction.thread)",
                    "\(transaction.calls.count)", transaction.summary,
                    audit.isSeamless ? "-" : Units.bytes(audit.missing),
                ] + times.map { audit.isSeamless ? "-" : Units.duration($0) } + [
                    audit.isSeamless ? "-" : audit.guest.word
                ])
        }
        return table.text
    }

    private var notes: [String] {
        var notes: [String] = []
        if counts.undecodedCalls > 0 {
            notes.append(
                Units.count(counts.undecodedCalls, "slot call")
                    + " printed as a pointer by strace: counted, but not known in its effect; "
                    + "the arrays may be wrong from there on")
        }
        notes += surprises.map(\.description)
        if surpriseCount > surprises.count {
            notes.append("\(surpriseCount - surprises.count) more calls like these")
        }
        if counts.unfinishedCalls > 0 {
            notes.append(
                Units.count(counts.unfinishedCalls, "slot call") + " never returned; left out")
        }
        if counts.endsMidCall { notes.append("the log ends in the middle of a slot call") }
        if idleMachines > 0 {
            notes.append(Units.count(idleMachines, "VM") + " without memory; left out")
        }
        for machine in scenario.machines where machine.traced.createdOnLine == nil {
            notes.append(
                "the log doesn't show how VM \(machine.name) (descriptor "
                    + "\(machine.traced.descriptor)) was made: slots from before are not known")
        }
        if !hasTimes {
            notes.append("no times: pauses can't be told, nor for how long memory was missing")
        } else if hasCoarseTimes {
            notes.append("times of whole seconds: only pauses over a second can be told")
        }
        if counts.overlongLines > 0 {
            notes.append(Units.count(counts.overlongLines, "line") + " over 64 KiB cut short")
        }
        return notes
    }
}

extension ImportedTransaction {
    /// `+2 -1`, with `moved` and `reflagged` where there are any.
    fileprivate var summary: String {
        var parts: [String] = []
        if changes.created > 0 { parts.append("+\(changes.created)") }
        if changes.deleted > 0 { parts.append("-\(changes.deleted)") }
        if changes.moved > 0 { parts.append("\(changes.moved) moved") }
        if changes.reflagged > 0 { parts.append("\(changes.reflagged) reflagged") }
        if changes.without > 0 { parts.append("\(changes.without) without effect") }
        if outcome == .unchanged { parts.append("= unchanged") }
        return parts.joined(separator: " ")
    }
}

extension GuestActivity {
    fileprivate var word: String {
        switch self {
        case .running: "running"
        case .notRunning: "out"
        case .unknown: "?"
        }
    }
}
