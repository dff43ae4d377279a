import MemslotProtocol
package import Memslots

/// The notifications of a run, as lines without their ends (Docs/Protocol.md).
package enum RunNotification {
    /// `run.transaction`: a transaction has ended.
    ///
    /// - Parameters:
    ///   - followed: the transaction.
    ///   - vm: its VM's name.
    ///   - generation: the VM's, after it.
    package static func transaction(
        _ followed: FollowedTransaction, of vm: String, generation: Generation
    ) -> [UInt8] {
        let transaction = followed.transaction
        return line("run.transaction") { writer in
            writer.key("vm")
            writer.string(vm)
            writer.key("generation")
            writer.integer(generation.rawValue)
            writer.key("at")
            writer.integer(followed.at)
            writer.key("thread")
            writer.integer(UInt64(transaction.thread.rawValue))
            writer.key("outcome")
            writer.staticString(transaction.outcome == .committed ? "committed" : "unchanged")
            writer.key("calls")
            writer.integer(transaction.calls.count)
            writer.key("operations")
            writer.beginArray()
            for call in followed.operations { writer.operation(PlannedOperation(call)) }
            writer.endArray()
            writer.missing(transaction.audit)
            if let commit = followed.commit { writer.commit(commit) }
        }
    }

    /// `run.ended`: the run is over, and this is what there was.
    ///
    /// - Parameters:
    ///   - report: the report of what the kernel saw; `nil` where no slot call succeeded.
    ///   - recording: the run.
    ///   - status: the VMM's exit status.
    package static func ended(
        _ report: ImportReport?, _ recording: RunRecording, status: Int32
    ) -> [UInt8] {
        line("run.ended") { writer in
            writer.key("status")
            writer.integer(Int(status))
            writer.key("transactions")
            writer.integer(report?.scenario.transactions.count ?? 0)
            writer.key("calls")
            writer.integer(report?.counts.slotCalls ?? 0)
            writer.key("failedCalls")
            writer.integer(recording.asked.count { $0.errno != nil })
            writer.key("transactionsWithHoles")
            writer.integer(report?.transactionsWithHoles ?? 0)
            writer.key("transactionsWithHolesInGuest")
            writer.integer(report?.transactionsWithHolesInGuest ?? 0)
            writer.key("missingBytes")
            writer.address(report?.missing.rawValue ?? 0)
            writer.key("longestNanoseconds")
            writer.integer(report?.longestNanoseconds ?? 0)
            writer.key("totalNanoseconds")
            writer.integer(report?.totalNanoseconds ?? 0)
            writer.key("stopped")
            writer.bool(recording.wasStopped)
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
        key("missingBytes")
        address(audit.missing.rawValue)
        key("longestNanoseconds")
        integer(audit.longestNanoseconds ?? 0)
        key("totalNanoseconds")
        integer(audit.totalNanoseconds ?? 0)
        key("guestInside")
        bool(audit.guest == .running)
        key("holes")
        beginArray()
        for hole in audit.holes.prefix(RunNotification.listedHoles) {
            beginObject()
            if hole.addressSpace != .main {
                key("addressSpace")
                integer(UInt64(hole.addressSpace.rawValue))
            }
            key("guestPhysicalAddress")
            address(hole.start.rawValue)
            key("size")
            address(hole.size.rawValue)
            key("nanoseconds")
            integer(hole.nanoseconds ?? 0)
            key("guestInside")
            bool(hole.guest == .running)
            endObject()
        }
        endArray()
        key("holeCount")
        integer(audit.holes.count)
    }

    fileprivate mutating func commit(_ commit: RunCommit) {
        key("commit")
        beginObject()
        key("asked")
        integer(commit.asked)
        key("made")
        integer(commit.made)
        key("because")
        staticString(commit.reason?.wireName ?? "unknown")
        key("heldNanoseconds")
        integer(commit.heldNanoseconds)
        key("appliedNanoseconds")
        integer(commit.appliedNanoseconds)
        endObject()
    }
}

extension RunNotification {
    /// The most holes that one notification lists; `holeCount` says how many there were.
    package static let listedHoles = 256
}

extension RunCommit.Reason {
    /// Its name on the wire.
    fileprivate var wireName: StaticString {
        switch self {
        case .run: "run"
        case .call: "call"
        case .unmapping: "unmapping"
        case .device: "device"
        case .quiet: "quiet"
        case .close: "close"
        case .time: "time"
        }
    }
}
