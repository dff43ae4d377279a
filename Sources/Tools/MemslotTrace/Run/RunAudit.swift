package import MemslotPicture
import MemslotScenario
import Memslots

/// The report of a run: the VMM's changes of guest memory, and what could be better.
package struct RunAudit: Sendable {
    package var recording: RunRecording
    package var imported: TraceImport
    /// The kernel's calls as transactions, under `--atomic`.
    package var committed: TraceImport?
    /// Whether the calls were committed as transactions.
    package var isAtomic: Bool

    package init(recording: RunRecording, imported: TraceImport, isAtomic: Bool) {
        self.recording = recording
        self.imported = imported
        self.isAtomic = isAtomic
    }

    /// The whole report. Lines end with a newline.
    package var text: String {
        var text = ""
        let totals = RunTotals(
            recording, name: imported.scenario.name, isAtomic: isAtomic,
            transactions: imported.scenario.transactions.count)
        if isAtomic || recording.lost > 0 { text += totals.text }
        if isAtomic {
            if let committed {
                text += "\nwhat the kernel saw"
                text += recording.passed > 0 ? ":\n" : " while vCPUs were held:\n"
                text += committed.report.text(withFindings: false)
            } else if recording.lost > 0 {
                text += "\nwhat the kernel saw is not known: its calls are not all in the record\n"
            }
            text += "\nwhat the VMM asked for, call by call:\n"
        }
        var asked = withTables(imported.report)
        asked.isHypothetical = asked.isHypothetical || isAtomic
        text += asked.text + callTimes
        if recording.untracked > 0 {
            text += "note: there was no room to follow \(recording.untracked) VMs or vCPUs\n"
        }
        if recording.wasStopped { text += "note: the VMM was stopped by --atomic\n" }
        if asked.view?.rows.isEmpty == true {
            text += "note: the text of 'info mtree -f' has no memory\n"
        }
        return text
    }

    /// The page and its data: what the kernel saw.
    package var document: ReportDocument {
        var shown = committed ?? imported
        if committed != nil { shown.report.addEvidence(of: imported.report) }
        shown.report.view = imported.report.view
        let holds = recording.commits.map { commit in
            let begin = commit.heldSince.rawValue
            return begin..<begin.addingSaturated(commit.heldNanoseconds)
        }
        return ReportDocument(shown, holds: holds)
    }

    /// The report with the findings about tables, which are of the kernel's calls in a run, and of the
    /// VMM's in a record.
    private func withTables(_ report: ImportReport) -> ImportReport {
        var report = report
        let known = (committed?.report.memoryFindings ?? []) + imported.report.memoryFindings
        report.memoryFindings =
            known.filter { $0.finding.kind == .earlyTable }
            + report.memoryFindings.filter { $0.finding.kind != .earlyTable }
        return report
    }

    /// The durations of the recorded calls, without a tracer.
    private var callTimes: String {
        let times = recording.asked.filter { $0.errno == nil }.map(\.nanoseconds).sorted()
        guard let last = times.last else { return "" }
        let median = HumanDuration(nanoseconds: times[times.count / 2])
        return "a call took \(median) (median), \(HumanDuration(nanoseconds: last)) at most\n"
    }

    /// The times of calls, holes and, under `--atomic`, holds.
    ///
    /// A lane for each thread that changed slots, one for the holes and one for the holds.
    package var timeline: TimelinePicture {
        let threads = Set(recording.asked.map(\.thread)).sorted()
        let laneOfThread = Dictionary(
            uniqueKeysWithValues: threads.enumerated().map { ($0.element, $0.offset) })
        var lanes = threads.map { "calls of thread \($0)" }
        var spans = recording.asked.map { call in
            TimelinePicture.Span(
                lane: laneOfThread[call.thread] ?? 0, time: call.time.rawValue..<call.end.rawValue,
                label: label(of: call), kind: call.errno == nil ? .work : .failed)
        }
        let holes = (committed ?? imported).scenario.transactions.flatMap(\.audit.all)
        let lane = lanes.count
        lanes.append(isAtomic ? "missing, vCPUs held" : "missing")
        for hole in holes {
            guard let begin = hole.begin?.rawValue, let end = hole.end?.rawValue, begin <= end
            else { continue }
            let first = hole.start.rawValue
            spans.append(
                TimelinePicture.Span(
                    lane: lane, time: begin..<end,
                    label: hex(first: first, last: first.addingSaturated(hole.size.rawValue - 1)),
                    kind: hole.guest == .running ? .missing : .wait))
        }
        if isAtomic {
            lanes.append("vCPUs held")
            spans += recording.commits.map { commit in
                let begin = commit.heldSince.rawValue
                return TimelinePicture.Span(
                    lane: lane + 1, time: begin..<begin.addingSaturated(commit.heldNanoseconds),
                    label: "\(commit.asked) asked, \(commit.made) made", kind: .held)
            }
        }
        return TimelinePicture(lanes: lanes, spans: spans)
    }

    private func label(of call: RunCall) -> String {
        let (begin, size) = (call.region.guestPhysicalAddress, call.region.memorySize)
        // A call that the kernel refused may wrap 2^64.
        let what = size == 0 ? "delete" : hex(first: begin, last: begin.addingSaturated(size - 1))
        return "slot \(call.region.slot & 0xffff): " + what + (call.errno.map { ", \($0)" } ?? "")
    }
}
