package import Memslots

/// Guest memory that a call removed and a later call mapped again.
package struct Hole: Hashable, Sendable {
    package enum Backing: String, Hashable, Sendable { case same, other, unknown }

    package enum Verdict: String, Hashable, Sendable {
        /// The memory was missing: it came back as it was, or within one transaction.
        case hole
        /// The log can't decide: the guest may have asked for the change.
        case unclear
    }

    package var addressSpace: AddressSpaceID
    package var start: GuestPhysicalAddress
    /// Bytes, never 0.
    package var size: ByteCount
    var host: HostRange
    package var removedOnLine, returnedOnLine: Int
    package var thread: ThreadID
    /// From the end of the one call to the begin of the other; `nil` in a log without times.
    package var certainNanoseconds: UInt64?
    /// From the begin of the one call to the end of the other; `nil` if one of them is unknown.
    package var atMostNanoseconds: UInt64?
    package var begin, end: TraceTime?
    package var backing: Backing
    package var verdict: Verdict
    package var guest: GuestActivity
}

/// Host memory by memory object and offset or, without an object, by user address.
struct HostRange: Hashable {
    /// The descriptor of a guest_memfd; `nil` for user memory.
    var file: UInt32?
    var start: UInt64
}

package struct HoleAudit: Hashable, Sendable {
    /// In the order in which they ended. Memory that was missing twice is listed twice.
    package var all: [Hole] = []
    /// Whether a vCPU was in the guest from the begin of the transaction to its end.
    package var guestDuringTransaction = GuestActivity.unknown

    package var holes: [Hole] { all.filter { $0.verdict == .hole } }
    package var isSeamless: Bool { !all.contains { $0.verdict == .hole } }
    /// The missing host memory in bytes; each page counts once.
    package var missing: ByteCount { ByteCount(rawValue: holes.hostBytes) }
    package var longestNanoseconds: UInt64? { holes.longestNanoseconds }
    package var totalNanoseconds: UInt64? { holes.totalNanoseconds }
    package var guest: GuestActivity { holes.guest }
}

extension [Hole] {
    /// The host memory in bytes; each page counts once, however many address spaces map it.
    package var hostBytes: UInt64 {
        let ranges = map { (file: $0.host.file, start: $0.host.start, size: $0.size.rawValue) }
            .sorted { ($0.file ?? 0, $0.start) < ($1.file ?? 0, $1.start) }
        var sum: UInt64 = 0
        var file: UInt32??
        var end: UInt64 = 0
        for range in ranges {
            if file != .some(range.file) { end = 0 }
            file = .some(range.file)
            let last = range.start.addingSaturated(range.size)
            if last > end { sum = sum.addingSaturated(last - Swift.max(end, range.start)) }
            end = Swift.max(end, last)
        }
        return sum
    }

    /// The longest time that any was missing at most; `nil` if one is unknown, or there is none.
    package var longestNanoseconds: UInt64? {
        allSatisfy { $0.atMostNanoseconds != nil } ? compactMap(\.atMostNanoseconds).max() : nil
    }

    /// The time that any was missing at most: the length of the union of all times.
    package var totalNanoseconds: UInt64? {
        guard longestNanoseconds != nil else { return nil }
        var sum: UInt64 = 0
        var end = TraceTime(rawValue: 0)
        for hole in sorted(by: { ($0.begin ?? end) < ($1.begin ?? end) }) {
            guard let from = hole.begin, let to = hole.end, to > end else { continue }
            sum &+= to.nanoseconds(since: Swift.max(from, end))
            end = to
        }
        return sum
    }

    package var guest: GuestActivity {
        let activities = Set(map(\.guest))
        return [.running, .unknown].first(where: activities.contains) ?? .notRunning
    }
}

struct KnownVCPUs {
    /// Whether it shows every vCPU, at least one, from its creation and with its `KVM_RUN` calls.
    var areAllShown: Bool
    /// Whether a vCPU of an unknown VM can only be this VM's.
    var strayIsOwn: Bool

    /// Running: a vCPU was inside between the end of the first call and the begin of the last. Out:
    /// none was inside between the begin of the first and the end of the last.
    func activity(between first: RecordedCall, and last: RecordedCall) -> GuestActivity {
        let inner = activity(first.atEnd, first.end.latest, last.atBegin)
        return inner == .notRunning && activity(during: first, last) == .running ? .unknown : inner
    }

    func activity(during first: RecordedCall, _ last: RecordedCall) -> GuestActivity {
        activity(first.atBegin, first.begin.earliest, last.atEnd)
    }

    private func activity(
        _ before: GuestPresence, _ time: TraceTime?, _ after: GuestPresence
    ) -> GuestActivity {
        let isStray = before.strayInside > 0 || before.strayEntries != after.strayEntries
        if before.inside > 0 || before.entries != after.entries || isStray && strayIsOwn {
            return .running
        }
        if let until = before.until, let time, until > time { return .running }
        return isStray || !areAllShown ? .unknown : .notRunning
    }
}
