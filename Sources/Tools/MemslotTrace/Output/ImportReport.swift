import MemslotPicture
package import Memslots

/// The numbers of a log; ``text`` is the same for a person.
package struct ImportReport: Sendable {
    package var counts: TraceCounts
    /// The scenario, whose transactions have their audits.
    package var scenario: ImportedScenario
    /// VMs without memory.
    package var idleMachines: Int
    /// Successful calls that contradict earlier calls, at most ``listedSurprises`` of
    /// ``surpriseCount``.
    package var surprises: [SurprisingCall]
    package var surpriseCount: Int
    /// The longest pause within a transaction of a thread that never enters `KVM_RUN`, in
    /// milliseconds.
    package var gapMilliseconds: UInt64
    /// Whether the log has times; without them pauses are unknown.
    package var hasTimes: Bool
    package var hasCoarseTimes: Bool
    /// Whether the kernel did not execute these calls one by one: what was missing between them is
    /// what would have been missing.
    package var isHypothetical = false

    package static let listedSurprises = 100

    package var threads: Set<ThreadID> { Set(scenario.transactions.map(\.thread)) }

    /// The transactions in which memory was missing.
    package var transactionsWithHoles: Int {
        scenario.transactions.count { !$0.audit.isSeamless }
    }

    package var unchangedTransactions: Int {
        scenario.transactions.count { $0.outcome == .unchanged }
    }

    /// The missing bytes, summed over the transactions.
    package var missing: ByteCount {
        ByteCount(
            rawValue: scenario.transactions.reduce(0) {
                $0.addingSaturated($1.audit.missing.rawValue)
            })
    }

    /// The longest time that any memory was missing; `nil` if none was, or without times.
    package var longestNanoseconds: UInt64? {
        scenario.transactions.compactMap(\.audit.longestNanoseconds).max()
    }

    /// The time that memory was missing, summed over the transactions.
    package var totalNanoseconds: UInt64? {
        let times = scenario.transactions.compactMap(\.audit.totalNanoseconds)
        return times.isEmpty ? nil : times.reduce(0, &+)
    }

    /// The transactions in which memory was missing while another thread was in the guest.
    package var transactionsWithHolesInGuest: Int {
        scenario.transactions.count { !$0.audit.isSeamless && $0.audit.guest == .running }
    }
}

extension ImportReport {
    /// The report for a person: a summary, a table of the transactions, and notes.
    ///
    /// Lines end with a newline. Times are strace's, which slows the VMM down.
    package var text: String {
        var text = summary
        text += "\n" + table
        let notes = notes
        if !notes.isEmpty { text += "\n" + notes.map { "note: \($0)\n" }.joined() }
        return text
    }

    private var summary: String {
        let transactions = scenario.transactions
        var text = "\(scenario.name): "
        text += counted(counts.slotCalls, "slot call") + " by "
        text += counted(threads.count, "thread") + " in "
        text += counted(transactions.count, "transaction") + " on "
        text += counted(scenario.machines.count, "VM")
        text += unchangedTransactions == 0 ? "\n" : ", \(unchangedTransactions) without effect\n"
        let failed = counts.failedCalls.values.reduce(0, +)
        if failed > 0 {
            let kinds = counts.failedCalls.sorted { $0.key < $1.key }
                .map { "\($0.value) \($0.key)" }
            text += "left out: " + counted(failed, "failed call")
            text += " (\(kinds.joined(separator: ", ")))\n"
        }
        guard transactionsWithHoles > 0 else {
            return text + "no memory was missing within a transaction\n"
        }
        text +=
            isHypothetical
            ? "one by one, these calls would have left memory that was mapped before and after missing in "
            : "memory that was mapped before and after was missing in between in "
        text += counted(transactionsWithHoles, "transaction")
        text += ": \(HumanSize(missing)) in all, for at most "
        text += "\(duration(longestNanoseconds)), "
        text += "\(duration(totalNanoseconds)) in sum"
        let inGuest = transactionsWithHolesInGuest
        if inGuest > 0, !isHypothetical {
            text += "; in \(inGuest) of them another thread was in the guest meanwhile"
        }
        return text + "\n"
    }

    private var table: String {
        let severalVMs = scenario.machines.count > 1
        var columns: [TextTable.Column] = [.numbers("#")]
        if severalVMs { columns.append("VM") }
        columns += [
            .numbers(scenario.startTime == nil ? "line" : "at"),
            .numbers("thread"), .numbers("calls"),
            "what", .numbers("missing"),
            .numbers("longest"), .numbers("in sum"),
        ]
        if !isHypothetical { columns.append("guest") }
        var table = TextTable(columns: columns)
        for (index, transaction) in scenario.transactions.enumerated() {
            var cells: [TextTable.Cell] = ["\(index + 1)"]
            if severalVMs {
                cells.append(TextTable.Cell(scenario.machines[transaction.machine].name))
            }
            cells += [
                "\(place(of: transaction))", "\(transaction.thread)",
                "\(transaction.calls.count)", "\(transaction.summary)",
            ]
            let audit = transaction.audit
            if audit.isSeamless {
                cells += ["-", "-", "-"]
            } else {
                cells += [
                    "\(HumanSize(audit.missing))", "\(duration(audit.longestNanoseconds))",
                    "\(duration(audit.totalNanoseconds))",
                ]
            }
            if !isHypothetical { cells.append(audit.isSeamless ? "-" : "\(audit.guest.text)") }
            table.append(cells)
        }
        return table.lines().map { $0 + "\n" }.joined()
    }

    /// The start of a transaction since the first call; its line in a log without times.
    private func place(of transaction: ImportedTransaction) -> String {
        guard let start = scenario.startTime, let time = transaction.time else {
            return "\(transaction.line)"
        }
        return time.seconds(since: start)
    }

    private var notes: [String] {
        var notes: [String] = []
        if counts.undecodedCalls > 0 {
            notes.append(
                counted(counts.undecodedCalls, "slot call")
                    + " printed as a pointer by strace: counted, but of unknown effect; "
                    + "the arrays may be wrong from there on")
        }
        notes += surprises.map(\.description)
        if surpriseCount > surprises.count {
            notes.append("\(surpriseCount - surprises.count) more calls like these")
        }
        if counts.unfinishedCalls > 0 {
            notes.append(
                counted(counts.unfinishedCalls, "slot call") + " never returned; left out")
        }
        if counts.endsMidCall { notes.append("the log ends in the middle of a slot call") }
        if idleMachines > 0 {
            notes.append(counted(idleMachines, "VM") + " without memory; left out")
        }
        for machine in scenario.machines where machine.traced.createdOnLine == nil {
            notes.append(
                "the log doesn't show how VM \(machine.name) (descriptor "
                    + "\(machine.traced.descriptor)) was created: its earlier slots are unknown")
        }
        if !hasTimes {
            notes.append("no times: pauses and the duration of holes are unknown")
        } else if hasCoarseTimes {
            notes.append("times of whole seconds: only pauses of over a second are known")
        }
        if counts.overlongLines > 0 {
            notes.append(counted(counts.overlongLines, "line") + " over 64 KiB cut short")
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

/// `?` for an unknown time.
private func duration(_ nanoseconds: UInt64?) -> String {
    nanoseconds.map { HumanDuration(nanoseconds: $0).description } ?? "?"
}

extension GuestActivity {
    fileprivate var text: String {
        switch self {
        case .running: "running"
        case .notRunning: "out"
        case .unknown: "?"
        }
    }
}
