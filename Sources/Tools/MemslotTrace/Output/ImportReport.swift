import MemslotPicture
package import MemslotScenario
package import Memslots

/// The numbers of a log; ``text`` is the same for a person.
package struct ImportReport: Sendable {
    package var counts: TraceCounts
    package var scenario: ImportedScenario
    package var idleMachines: Int
    /// Successful calls that contradict earlier calls: the first of ``surpriseCount``.
    package var surprises: [SurprisingCall]
    package var surpriseCount: Int
    package var failures: [ExplainedFailure]
    /// The first `KVM_RUN` calls that returned `EFAULT`, and why.
    package var runFaults: [ExplainedFailure]
    /// Tables that were sent early; user memory that was unmapped or protected under slots.
    var memoryFindings: [(machine: Int, finding: Finding)]
    /// The bytes of guest memory that were removed and are not back at the end.
    package var removedBytes: UInt64
    /// Whether the log has times; without them pauses are unknown.
    package var hasTimes: Bool
    package var hasCoarseTimes, clockJumps: Bool
    /// Whether the kernel did not execute these calls one by one: then holes would have been.
    package var isHypothetical = false
    package var view: FlatViewText?
    package var isRecorded: Bool

    package static let listedSurprises = 100
    static let listedFindings = 20

    package var threads: Set<ThreadID> { Set(scenario.transactions.map(\.thread)) }
    package var transactionsWithHoles: Int { scenario.transactions.count { !$0.audit.isSeamless } }

    /// Adds what the VMM's own calls show, to the report of the kernel's calls.
    mutating func addEvidence(of asked: ImportReport) {
        func place(_ machine: Int) -> Int {
            guard asked.scenario.machines.indices.contains(machine) else { return 0 }
            let name = asked.scenario.machines[machine].name
            return scenario.machines.firstIndex { $0.name == name } ?? 0
        }
        func placed(_ failures: [ExplainedFailure]) -> [ExplainedFailure] {
            failures.map { failure in
                var failure = failure
                failure.call.machine = place(failure.call.machine)
                return failure
            }
        }
        // Most of what the kernel refused was refused to the VMM too.
        let own = failures.filter { one in
            !asked.failures.contains {
                $0.call.region == one.call.region && $0.call.errno == one.call.errno
            }
        }
        failures = placed(asked.failures) + own
        counts.failedCalls.merge(asked.counts.failedCalls) { max($0, $1) }
        runFaults = placed(asked.runFaults)
        // Whether a table was early is known of the kernel's calls, which a record has.
        memoryFindings =
            memoryFindings.filter { $0.finding.kind == .earlyTable }
            + asked.memoryFindings.map { (place($0.machine), $0.finding) }
        counts[.unfinishedCalls] = max(counts[.unfinishedCalls], asked.counts[.unfinishedCalls])
        counts[.malformedCalls] = max(counts[.malformedCalls], asked.counts[.malformedCalls])
        counts[.lostRecords] = max(counts[.lostRecords], asked.counts[.lostRecords])
        counts.endsMidCall = counts.endsMidCall || asked.counts.endsMidCall
    }

    package var unchangedTransactions: Int {
        scenario.transactions.count { $0.outcome == .unchanged && $0.changes[.undecoded] == nil }
    }

    package var absences: [Hole] { scenario.transactions.flatMap(\.audit.all) }
    package var holes: [Hole] { absences.filter { $0.verdict == .hole } }

    /// The missing host memory in bytes; each page of a VM counts once.
    package var missing: ByteCount {
        let byMachine = Dictionary(grouping: scenario.transactions, by: \.machine)
        return ByteCount(
            rawValue: byMachine.values.reduce(0) {
                $0.addingSaturated($1.flatMap(\.audit.holes).hostBytes)
            })
    }

    /// The longest time that any memory was missing at most; `nil` if none was, or without times.
    package var longestNanoseconds: UInt64? { holes.longestNanoseconds }
    package var totalNanoseconds: UInt64? { holes.totalNanoseconds }

    package var transactionsWithHolesInGuest: Int {
        scenario.transactions.count { $0.audit.holes.contains { $0.guest == .running } }
    }

    package var text: String { text(withFindings: true) }

    package func text(withFindings: Bool) -> String {
        var text = summary
        if !absences.isEmpty { text += "\n" + absenceTable }
        if !scenario.transactions.isEmpty { text += "\n" + table }
        let failures = failureLines + (withFindings ? faultLines : [])
        if !failures.isEmpty { text += "\n" + failures.map { $0 + "\n" }.joined() }
        if withFindings, !findings.isEmpty {
            text += "\n" + findings.map { "\($0.finding)\n" }.joined()
        }
        let notes = notes
        if !notes.isEmpty { text += "\n" + notes.map { "note: \($0)\n" }.joined() }
        return text
    }

    package var headline: String {
        var parts: [String] = []
        let holes = holes
        if !holes.isEmpty {
            var text = "\(HumanSize(missing)) of guest memory "
            text += isHypothetical ? "would have been missing, one by one," : "was missing"
            if let longest = longestNanoseconds {
                text += " for at most \(HumanDuration(nanoseconds: longest))"
                if let total = totalNanoseconds, total != longest {
                    text += " (\(HumanDuration(nanoseconds: total)) in sum)"
                }
            } else {
                text += " for an unknown time"
            }
            let running = holes.filter { $0.guest == .running }
            if !running.isEmpty, !isHypothetical {
                text += running.count == holes.count ? ", " : ", partly "
                text += "while a vCPU was in the guest"
            }
            parts.append(text)
        }
        let unclear = absences.filter { $0.verdict == .unclear }
        if !unclear.isEmpty {
            parts.append(
                "\(HumanSize(bytes: unclear.hostBytes)) was removed and came back in a way that the "
                    + "guest may have asked for")
        }
        let reasons = unknownBecause
        if !reasons.isEmpty {
            parts.append(
                (holes.isEmpty ? "no hole is certain; unknown" : "more is unknown") + " because "
                    + reasons.joined(separator: "; "))
        } else if holes.isEmpty {
            parts.append(unclear.isEmpty ? "no memory was missing" : "no hole is certain")
        }
        return parts.joined(separator: "\n")
    }

    /// Why a hole may be hidden: each an undecoded call, an unread line or an unknown beginning.
    package var unknownBecause: [String] {
        var reasons: [String] = []
        func add(_ count: Int, _ what: String, _ rest: String) {
            if count > 0 { reasons.append(counted(count, what) + rest) }
        }
        let lines =
            (counts[.undecodedCalls] == 1 ? "line " : "lines ")
            + counts.undecodedLines.map(String.init).joined(separator: ", ")
        add(
            counts[.undecodedCalls], "slot call",
            " printed as a pointer (\(lines)\(counts[.undecodedCalls] > 4 ? ", …" : "")): "
                + "record with memslotctl run --record, which knows the words")
        add(counts[.arrays], "transaction", " known only as whole arrays, without calls")
        add(counts[.cutCalls], "slot call", " cut off in the text")
        add(counts[.malformedCalls], "slot call", " in a form that can't be read")
        add(counts[.unfinishedCalls], "slot call", " without a result")
        add(counts[.unreadLines], "line", " that may show a call and can't be read")
        add(counts[.orphanEnds], "ioctl", " whose beginning is not in the log")
        add(counts[.gaps], "place", " where lines were left out of the text")
        add(
            counts[.unfollowedThreads], "thread", " started and not followed: record with strace -f"
        )
        add(counts[.assumedResults], "slot call", " of a program, assumed to have succeeded")
        add(counts[.excessCalls], "slot call", " beyond the limit of \(SlotCallLog.limit)")
        add(counts[.overlongLines], "line", " over 64 KiB cut short")
        add(counts[.lostRecords], "record", " between the first and the newest not kept")
        add(surpriseCount - counts[.undecodedCalls], "call", " contradicting the calls before it")
        if scenario.machines.isEmpty { reasons.append("the log shows no slot call of a VM") }
        if !isRecorded, scenario.machines.contains(where: { $0.traced.createdOnLine == nil }) {
            let first = scenario.transactions.first?.line ?? failures.first?.call.line ?? 1
            reasons.append("the slots before line \(first) are not known")
        }
        return reasons
    }

    private var summary: String {
        let transactions = scenario.transactions
        var text =
            "\(scenario.name): \(counted(counts[.slotCalls], "slot call")) by "
            + "\(counted(threads.count, "thread")) in "
            + "\(counted(transactions.count, "transaction")) on "
            + counted(scenario.machines.count, "VM")
        let unchanged = unchangedTransactions
        text += unchanged == 0 ? "\n" : ", \(unchanged) without a change in the end\n"
        let failed = counts.failedCalls.values.reduce(0, +)
        if failed > 0 {
            let kinds = counts.failedCalls.sorted { $0.key < $1.key }
                .map { "\($0.value) \($0.key)" }
            text += "left out: " + counted(failed, "failed call")
            text += " (\(kinds.joined(separator: ", ")))\n"
        }
        text += headline + "\n"
        if removedBytes > 0 {
            text += "\(HumanSize(bytes: removedBytes)) was removed and is not back at the end\n"
        }
        return text
    }

    private static let listedAbsences = 60
    /// The most transactions that are listed: the first and the last.
    private static let listedTransactions = 500

    private var absenceTable: String {
        let severalVMs = scenario.machines.count > 1
        let hasSpaces = absences.contains { $0.addressSpace != .main }
        var table = TextTable(columns: [
            "guest memory", severalVMs ? "VM" : nil, hasSpaces ? .numbers("space") : nil,
            .numbers("size"), .numbers(isRecorded ? "calls" : "lines"), .numbers("certain"),
            .numbers("at most"), "back on", "vCPU", "verdict",
        ])
        for transaction in scenario.transactions {
            for hole in transaction.audit.all where table.rows.count < Self.listedAbsences {
                let start = hole.start.rawValue
                let backing = hole.backing == .same ? "the same" : hole.backing.rawValue
                table.append([
                    "\(hex(start..<start &+ hole.size.rawValue))",
                    severalVMs ? .init(scenario.machines[transaction.machine].name) : nil,
                    hasSpaces ? "\(hole.addressSpace)" : nil, "\(HumanSize(hole.size))",
                    "\(hole.removedOnLine)-\(hole.returnedOnLine)",
                    "\(duration(hole.certainNanoseconds))", "\(duration(hole.atMostNanoseconds))",
                    "\(backing) memory", "\(hole.guest.rawValue)", "\(hole.verdict.rawValue)",
                ])
            }
        }
        let more = absences.count - table.rows.count
        return table.lines().map { $0 + "\n" }.joined() + (more > 0 ? "… and \(more) more\n" : "")
    }

    private var table: String {
        let severalVMs = scenario.machines.count > 1
        var table = TextTable(columns: [
            .numbers("#"), severalVMs ? "VM" : nil,
            .numbers(scenario.startTime == nil ? "line" : "at"), .numbers("thread"),
            .numbers("calls"), "what", .numbers("missing"), .numbers("at most"), "vCPU",
        ])
        let skipped = max(0, scenario.transactions.count - Self.listedTransactions)
        let half = Self.listedTransactions / 2
        for (index, transaction) in scenario.transactions.enumerated()
        where skipped == 0 || index < half || index >= half + skipped {
            if skipped > 0, index == half + skipped {
                table.append(["", "… \(counted(skipped, "transaction"))"])
            }
            let audit = transaction.audit
            // Of the time that memory was missing, as in the list of holes; else of the whole.
            let guest = audit.holes.map(\.guest)
            let worst: [GuestActivity] = [.running, .unknown, .notRunning]
            table.append([
                "\(index + 1)",
                severalVMs ? .init(scenario.machines[transaction.machine].name) : nil,
                "\(place(of: transaction))", "\(transaction.thread)",
                "\(transaction.calls.count)", "\(transaction.summary)",
                "\(audit.isSeamless ? "-" : HumanSize(audit.missing).description)",
                "\(audit.isSeamless ? "-" : duration(audit.longestNanoseconds))",
                "\((worst.first(where: guest.contains) ?? audit.guestDuringTransaction).rawValue)",
            ])
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

    package var failureLines: [String] {
        var lines: [String] = []
        var known: [String: Int] = [:]
        for failure in failures {
            let text = failure.explanation.description
            if let place = known[text] {
                if !lines[place].hasSuffix(" …") { lines[place] += " …" }
            } else if lines.count < Self.listedSurprises {
                known[text] = lines.count
                lines.append("line \(failure.call.line): \(failure.words): \(text)")
            }
        }
        let failed = counts.failedCalls.values.reduce(0, +)
        if failed > failures.count { lines.append("… and \(failed - failures.count) more") }
        return lines
    }

    package var faultLines: [String] {
        runFaults.prefix(Self.listedSurprises).map {
            "line \($0.call.line): \($0.words): \($0.explanation)"
        }
    }

    package var notes: [String] {
        var notes = surprises.map(\.description)
        if surpriseCount > surprises.count {
            notes.append("\(surpriseCount - surprises.count) more calls like these")
        }
        notes += counts.faults.map(\.description)
        if counts[.malformedCalls] > counts.faults.count {
            notes.append("\(counts[.malformedCalls] - counts.faults.count) more such lines")
        }
        let read: [(Int, String, String)] = [
            (counts[.unfinishedCalls], "slot call", " never returned; left out"),
            (counts[.joinedLines], "wrapped line", " joined to the line before"),
            (counts[.unquotedLines], "line", " read without the quotation mark '>'"),
            (counts[.cutCalls], "slot call", " cut off; left out"),
            (counts[.overlongLines], "line", " over 64 KiB cut short"),
            (counts[.excessCalls], "slot call", " left out: too many"),
            (idleMachines, "VM", " without memory; left out"),
        ]
        notes += read.filter { $0.0 > 0 }.map { counted($0.0, $0.1) + $0.2 }
        if counts.endsMidCall { notes.append("the log ends in the middle of a slot call") }
        for machine in scenario.machines where machine.traced.createdOnLine == nil && !isRecorded {
            let descriptor = machine.traced.descriptor
            notes.append(
                "the log doesn't show how VM \(machine.name)"
                    + (descriptor < 0 ? "" : " (descriptor \(descriptor))")
                    + " was created: its earlier slots are unknown")
        }
        if !hasTimes, !scenario.transactions.isEmpty {
            notes.append("no times: pauses and the duration of holes are unknown")
        } else if hasCoarseTimes {
            notes.append("times of whole seconds: only pauses of over a second are known")
        }
        if clockJumps { notes.append("the clock was set back: times across it are unknown") }
        return notes
    }
}

extension ImportedTransaction {
    /// `+2 -1`, with `moved` and `reflagged` where there are any.
    package var summary: String {
        let words: [(ChangeKind, before: String, after: String)] = [
            (.create, "+", ""), (.delete, "-", ""), (.move, "", " moved"),
            (.reflag, "", " reflagged"), (.nothing, "", " without effect"),
            (.undecoded, "", " of unknown effect"),
        ]
        var parts = words.compactMap { kind, before, after in
            changes[kind].map { "\(before)\($0)\(after)" }
        }
        if outcome == .unchanged, changes[.undecoded] == nil { parts.append("= unchanged") }
        return parts.joined(separator: " ")
    }
}

private func duration(_ nanoseconds: UInt64?) -> String {
    nanoseconds.map { HumanDuration(nanoseconds: $0).description } ?? "unknown"
}
