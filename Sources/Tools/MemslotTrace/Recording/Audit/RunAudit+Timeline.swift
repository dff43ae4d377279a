package import MemslotPicture
import Memslots

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
