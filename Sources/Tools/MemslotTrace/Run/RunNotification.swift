import MemslotProtocol
import MemslotScenario
package import Memslots

/// The notifications of a run, as lines without their ends (Docs/Protocol.md).
package enum RunNotification {
    /// The most holes that one notification lists; `holeCount` is the number of all holes.
    package static let listedHoles = 256

    package static func transaction(
        _ followed: FollowedTransaction, of vm: String, generation: Generation
    ) -> [UInt8] {
        let transaction = followed.transaction
        return line("run.transaction") { writer in
            writer.member("vm", vm)
            writer.member("generation", generation.rawValue)
            writer.member("at", followed.at)
            writer.member("thread", UInt64(transaction.thread.rawValue))
            writer.member("outcome", transaction.outcome.rawValue)
            writer.member("calls", transaction.calls.count)
            writer.list("operations", followed.operations) { $0.operation(PlannedOperation($1)) }
            writer.missing(transaction.audit)
            if let commit = followed.commit { writer.object("commit") { $0.members(of: commit) } }
        }
    }

    package static func fault(_ fault: ExplainedFailure, of vm: String) -> [UInt8] {
        line("run.fault") { writer in
            writer.member("vm", vm)
            writer.member("thread", UInt64(fault.call.thread.rawValue))
            writer.member("text", fault.explanation.description)
        }
    }

    /// `run.ended`: the run is over. The report is of the kernel's calls, if any succeeded.
    package static func ended(
        _ report: ImportReport?, _ recording: RunRecording, status: Int32?
    ) -> [UInt8] {
        line("run.ended") { writer in
            if let status { writer.member("status", Int(status)) }
            writer.member("transactions", report?.scenario.transactions.count ?? 0)
            // The total also counts a call that its process did not live to see the end of.
            let total = recording.made.isEmpty ? recording.succeeded : recording.madeCount
            let seen = report?.counts[.slotCalls] ?? 0
            writer.member("calls", recording.lost > 0 ? total : seen)
            writer.member("failedCalls", recording.refused)
            writer.member("transactionsWithHoles", report?.transactionsWithHoles ?? 0)
            writer.member("transactionsWithHolesInGuest", report?.transactionsWithHolesInGuest ?? 0)
            writer.member("missingBytes", address: report?.missing.rawValue ?? 0)
            writer.member("longestNanoseconds", report?.longestNanoseconds ?? 0)
            writer.member("totalNanoseconds", report?.totalNanoseconds ?? 0)
            writer.member("stopped", recording.wasStopped)
            if recording.lost > 0 { writer.member("lostRecords", recording.lost) }
            guard let holds = RunHolds(recording) else { return }
            writer.object("holds") {
                $0.member("count", holds.count)
                $0.member("medianNanoseconds", holds.median)
                $0.member("percentile99Nanoseconds", holds.percentile99)
                $0.member("longestNanoseconds", holds.longest)
            }
        }
    }

    private static func line(
        _ method: StaticString, _ params: (inout JSONWriter) -> Void
    ) -> [UInt8] {
        var writer = JSONWriter()
        writer.notification(method) { $0.object(params) }
        return writer.finish()
    }
}

extension JSONWriter {
    fileprivate mutating func missing(_ audit: HoleAudit) {
        member("missingBytes", address: audit.missing.rawValue)
        member("longestNanoseconds", audit.longestNanoseconds ?? 0)
        member("totalNanoseconds", audit.totalNanoseconds ?? 0)
        member("guestInside", audit.guest == .running)
        list("holes", audit.all.prefix(RunNotification.listedHoles)) { writer, hole in
            writer.beginObject()
            if hole.addressSpace != .main {
                writer.member("addressSpace", UInt64(hole.addressSpace.rawValue))
            }
            writer.member("guestPhysicalAddress", address: hole.start.rawValue)
            writer.member("size", address: hole.size.rawValue)
            writer.member("nanoseconds", hole.atMostNanoseconds ?? 0)
            writer.member("certainNanoseconds", hole.certainNanoseconds ?? 0)
            writer.member("backing", hole.backing.rawValue)
            writer.member("verdict", hole.verdict.rawValue)
            writer.member("guestInside", hole.guest == .running)
            writer.endObject()
        }
        member("holeCount", audit.all.count)
    }
}
