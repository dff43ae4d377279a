import CRunRecord
package import MemslotPicture
import MemslotScenario
import Memslots

package struct RunAudit: Sendable {
    package var recording: RunRecording
    package var imported: TraceImport
    package var committed: TraceImport?
    package var isAtomic: Bool

    package init(recording: RunRecording, imported: TraceImport, isAtomic: Bool) {
        (self.recording, self.imported, self.isAtomic) = (recording, imported, isAtomic)
    }

    package var text: String {
        var text = ""
        let totals = RunTotals(
            recording, name: imported.scenario.name, isAtomic: isAtomic,
            transactions: imported.scenario.transactions.count)
        if isAtomic || recording.lost > 0 { text += totals.text }
        if isAtomic {
            if let committed {
                text += "\nwhat the kernel saw"
                text += recording.header.passed > 0 ? ":\n" : " while vCPUs were held:\n"
                text += committed.report.text(withFindings: false)
            } else if recording.lost > 0 {
                text += "\nwhat the kernel saw is not known: its calls are not all in the record\n"
            }
            text += "\nwhat the VMM asked for, call by call:\n"
        }
        var asked = withTables(imported.report)
        asked.isHypothetical = asked.isHypothetical || isAtomic
        text += asked.text + callTimes
        let missed = recording.header.untracked
        if missed > 0 { text += "note: there was no room to follow \(missed) VMs or vCPUs\n" }
        if recording.wasStopped { text += "note: the VMM was stopped by --atomic\n" }
        if asked.view?.rows.isEmpty == true {
            text += "note: the text of 'info mtree -f' has no memory\n"
        }
        return text
    }

    package var document: ReportDocument {
        var shown = committed ?? imported
        if committed != nil { shown.report.addEvidence(of: imported.report) }
        shown.report.view = imported.report.view
        return ReportDocument(shown, holds: recording.commits.map(\.hold))
    }

    /// The report with all findings about tables: of the kernel's calls in a run.
    private func withTables(_ report: ImportReport) -> ImportReport {
        var report = report
        let known = (committed?.report.memoryFindings ?? []) + imported.report.memoryFindings
        report.memoryFindings =
            known.filter { $0.finding.kind == .earlyTable }
            + report.memoryFindings.filter { $0.finding.kind != .earlyTable }
        return report
    }

    private var callTimes: String {
        let times = recording.asked.filter { $0.errno == nil }.map(\.nanoseconds).sorted()
        guard let last = times.last else { return "" }
        let median = HumanDuration(nanoseconds: times[times.count / 2])
        return "a call took \(median) (median), \(HumanDuration(nanoseconds: last)) at most\n"
    }

    /// The times of calls, a lane for each thread that changed slots, of holes and of holds.
    package var timeline: TimelinePicture {
        let threads = Set(recording.asked.map(\.thread)).sorted()
        let laneOfThread = Dictionary(
            uniqueKeysWithValues: threads.enumerated().map { ($0.element, $0.offset) })
        var lanes = threads.map { "calls of thread \($0)" }
        var spans: [TimelinePicture.Span] = []
        func add(
            _ begin: TraceTime?, _ end: TraceTime?, lane: Int, _ label: String,
            _ kind: TimelinePicture.Kind
        ) {
            guard let begin = begin?.rawValue, let end = end?.rawValue, begin <= end else { return }
            spans.append(
                TimelinePicture.Span(lane: lane, time: begin..<end, label: label, kind: kind))
        }
        for call in recording.asked {
            add(
                call.begin.earliest, call.time, lane: laneOfThread[call.thread] ?? 0,
                label(of: call), call.errno == nil ? .work : .failed)
        }
        let lane = lanes.count
        lanes.append(isAtomic ? "missing, vCPUs held" : "missing")
        for hole in (committed ?? imported).scenario.transactions.flatMap(\.audit.all) {
            let first = hole.start.rawValue
            add(
                hole.begin, hole.end, lane: lane,
                hex(first: first, last: first.addingSaturated(hole.size.rawValue - 1)),
                hole.guest == .running ? .missing : .wait)
        }
        if isAtomic {
            lanes.append("vCPUs held")
            spans += recording.commits.map {
                TimelinePicture.Span(
                    lane: lane + 1, time: $0.hold, label: "\($0.asked) asked, \($0.made) made",
                    kind: .held)
            }
        }
        return TimelinePicture(lanes: lanes, spans: spans)
    }

    private func label(of call: RecordedCall) -> String {
        guard let region = call.region else { return "" }
        let (begin, size) = (region.guestPhysicalAddress, region.memorySize)
        // A call that the kernel refused may wrap 2^64.
        let what = size == 0 ? "delete" : hex(first: begin, last: begin.addingSaturated(size - 1))
        return "slot \(region.slot & 0xffff): " + what + (call.errno.map { ", \($0)" } ?? "")
    }
}
