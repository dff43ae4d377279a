package import MemslotPicture
import Memslots

/// The judgement of a run: what the VMM did to its guest's memory, and what could be better.
package struct RunAudit: Sendable {
    /// What was recorded.
    package var recording: RunRecording
    /// Its calls as transactions.
    package var imported: TraceImport
    /// What the kernel saw instead, under `--atomic`.
    package var committed: TraceImport?
    /// What the slots are meant to be, where that is known.
    package var flatView: FlatViewText?
    /// Whether the calls were committed as transactions.
    package var isAtomic: Bool

    /// Prepares the judgement.
    package init(recording: RunRecording, imported: TraceImport, isAtomic: Bool) {
        self.recording = recording
        self.imported = imported
        self.isAtomic = isAtomic
    }

    /// One line that says the most.
    package var summary: String {
        guard isAtomic else {
            let scenario = imported.scenario
            return "\(scenario.name): \(recording.asked.count) calls in "
                + "\(scenario.transactions.count) transactions"
        }
        let changes = recording.asked.count { $0.errno == nil }
        let made = recording.commits.reduce(0) { $0 + $1.made }
        var text = "\(imported.scenario.name): \(changes) calls asked, \(made) made in "
        text += "\(recording.commits.count) transactions"
        let held = recording.commits.map(\.heldNanoseconds).sorted()
        if let most = held.last {
            text += "; vCPUs held out for \(HumanDuration(nanoseconds: held[held.count / 2]))"
            text += " in the median, \(HumanDuration(nanoseconds: most)) at most"
        }
        return text
    }

    /// All of it, for a person. Lines end with a newline.
    package var text: String {
        var text = ""
        if isAtomic {
            text += summary + "\n" + reasons
            if let committed {
                text += "\nwhat the kernel saw, while vCPUs were held out:\n"
                text += committed.report.text
            }
            text += "\nwhat the VMM asked for, call by call:\n"
        }
        text += imported.report.text + callTimes
        let findings = findings
        if !findings.isEmpty { text += "\n" + findings.map { "finding: \($0)\n" }.joined() }
        for (isWrong, what) in doubts where isWrong { text += "note: \(what)\n" }
        return text
    }

    /// Sentences about the slots that the VMs had in the end.
    package var findings: [String] {
        var sentences: [String] = []
        for (machine, slots) in zip(imported.scenario.machines, imported.scenario.finalSlots) {
            let isOnly = imported.scenario.machines.count == 1
            var own = SlotFindings(slots).sentences
            if isOnly, let flatView {
                own += flatView.differences(from: slots).map { "not as meant: \($0)" }
            }
            sentences += isOnly ? own : own.map { "\(machine.name): \($0)" }
        }
        return sentences
    }

    private var reasons: String {
        let counts = Dictionary(grouping: recording.commits) { $0.reason?.word ?? "?" }
            .mapValues(\.count).sorted { $0.key < $1.key }
        let words = counts.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
        return "committed by: \(words); \(recording.kicks) kicks, "
            + "\(recording.shownKicks) of them shown to the VMM\n"
    }

    /// How long the recorded calls took, without any tracer in the way.
    private var callTimes: String {
        let times = recording.asked.filter { $0.errno == nil }.map(\.nanoseconds).sorted()
        guard let last = times.last else { return "" }
        let median = HumanDuration(nanoseconds: times[times.count / 2])
        return "a call took \(median) in the median, \(HumanDuration(nanoseconds: last)) at most\n"
    }

    private var doubts: [(Bool, String)] {
        [
            (recording.lost > 0, "\(recording.lost) VMs, vCPUs or calls were too many to record"),
            (recording.wasStopped, "the VMM was stopped by --atomic"),
            (
                flatView?.rows.isEmpty == true,
                "the text of --mtree holds no memory: 'info mtree -f' prints what is meant"
            ),
        ]
    }
}

extension RunAudit {
    /// When calls were made, memory was missing, and vCPUs were held out.
    ///
    /// A lane for each thread that changed slots, one for the holes and, under `--atomic`, one for
    /// the time in which vCPUs were held out.
    package var timeline: TimelinePicture {
        let threads = Set(recording.asked.map(\.thread)).sorted()
        let laneOfThread = Dictionary(
            uniqueKeysWithValues: threads.enumerated().map { ($0.element, $0.offset) })
        var lanes = threads.map { "calls of thread \($0)" }
        var spans = recording.asked.map { call in
            TimelinePicture.Span(
                lane: laneOfThread[call.thread] ?? 0,
                time: call.time.rawValue..<call.end.rawValue,
                label: label(of: call), kind: call.errno == nil ? .work : .failed)
        }
        let holes = (committed ?? imported).scenario.transactions.flatMap { transaction in
            transaction.audit.holes.map { (transaction, $0) }
        }
        let lane = lanes.count
        lanes.append(isAtomic ? "missing, guest held out" : "missing")
        for (transaction, hole) in holes {
            let times = Dictionary(
                uniqueKeysWithValues: transaction.calls.map { ($0.line, $0.time?.rawValue) })
            guard let begin = times[hole.takenOnLine] ?? nil,
                let end = times[hole.returnedOnLine] ?? nil, begin <= end
            else { continue }
            let range = hole.start.rawValue..<hole.start.rawValue &+ hole.size.rawValue
            spans.append(
                TimelinePicture.Span(
                    lane: lane, time: begin..<end, label: hex(range),
                    kind: hole.guest == .running ? .failed : .wait))
        }
        if isAtomic {
            lanes.append("vCPUs held out")
            spans += recording.commits.map { commit in
                let begin = commit.heldSince.rawValue
                return TimelinePicture.Span(
                    lane: lane + 1, time: begin..<begin &+ commit.heldNanoseconds,
                    label: "\(commit.asked) asked, \(commit.made) made", kind: .held)
            }
        }
        return TimelinePicture(lanes: lanes, spans: spans)
    }

    private func label(of call: RunCall) -> String {
        let begin = call.region.guestPhysicalAddress
        let what =
            call.region.memorySize == 0
            ? "delete" : hex(begin..<max(begin &+ call.region.memorySize, begin &+ 1))
        return "slot \(call.region.slot & 0xffff): " + what + (call.errno.map { ", \($0)" } ?? "")
    }
}
