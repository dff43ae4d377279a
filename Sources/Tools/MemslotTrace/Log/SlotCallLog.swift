import MemslotScenario
package import Memslots

/// The slot calls of a log: every successful one in order, with its context, and the first failed.
struct SlotCallLog {
    var calls: [RecordedCall] = []
    var failures: [RecordedCall] = []
    var runFaults: [RunFault] = []
    /// The last changes of user memory: the line, the call and the range.
    var memoryChanges: [MemoryChange] = []
    var findings: [(machine: Int, finding: Finding)] = []
    var tables: [TableMessage] = []
    var machines: [TracedMachine] = []
    var runners: Set<ThreadID> = []
    /// Whether `KVM_RUN` calls are folded into our condensed lines.
    var isCondensed = false
    /// Whether all entries of all threads are known at each call, as under `memslotctl run`.
    var isRecorded = false
    /// Whether recorded calls have the number of all entries of the VM's vCPUs.
    var hasEntries = true
    var isCoarse = false
    var clockJumps = false
    var scenario, source: String?
    var counts = TraceCounts()

    /// The most slot calls that are kept, so that no log fills memory.
    static let limit = 1 << 20
    /// The most failed calls that are kept.
    static let failureLimit = 1_000

    /// Whether a call's thread enters `KVM_RUN`: anywhere in the log, or in a recording so far.
    func isRunner(_ call: RecordedCall) -> Bool {
        runners.contains(call.thread) || isRecorded && call.runsBefore > 0
    }

    /// Adds a call that has returned; returns whether it is one of ``calls`` now.
    @discardableResult mutating func add(_ call: RecordedCall) -> Bool {
        if let errno = call.errno {
            // A real VMM has few errnos; a forged log must not fill memory.
            let isKnown = counts.failedCalls[errno] != nil || counts.failedCalls.count < 64
            counts.failedCalls[isKnown ? errno : "other", default: 0] += 1
            if failures.count < Self.failureLimit { failures.append(call) }
            return false
        }
        guard calls.count < Self.limit else {
            counts[.excessCalls] += 1
            return false
        }
        counts[.slotCalls] += 1
        calls.append(call)
        guard call.region == nil else { return true }
        counts[.undecodedCalls] += 1
        if counts.undecodedLines.count < 4 { counts.undecodedLines.append(call.line) }
        return true
    }

    func vcpus(of machine: Int) -> KnownVCPUs {
        KnownVCPUs(
            areAllShown: isRecorded ? hasEntries : !isCondensed && machines[machine].showsEveryVCPU,
            strayIsOwn: machines.count == 1)
    }
}

/// The numbers of a log, as ``ImportReport/unknownBecause`` and its notes explain them.
package struct TraceCounts: Hashable, Sendable {
    package enum Count: Hashable, Sendable {
        case lines
        /// `KVM_RUN` calls, and condensed lines of them.
        case runs
        /// Slot calls that succeeded, including ``undecodedCalls``.
        case slotCalls
        case unfinishedCalls, undecodedCalls, cutCalls, malformedCalls, excessCalls
        case overlongLines, joinedLines, unquotedLines, unreadLines
        case orphanEnds, gaps, unfollowedThreads, assumedResults, arrays, lostRecords
    }

    private var counts: [Count: Int] = [:]
    package var kinds: [EvidenceKind: Int] = [:]
    /// Slot calls that failed, by the errno's name. They are not part of the scenario.
    package var failedCalls: [String: Int] = [:]
    package var undecodedLines: [Int] = []
    package var faults: [TraceFault] = []
    package var endsMidCall = false

    package subscript(count: Count) -> Int {
        get { counts[count] ?? 0 }
        set { counts[count] = newValue }
    }

    /// Whether a vCPU may have been in the guest at a moment of which nothing is read.
    var mayHideRuns: Bool {
        let hiding: [Count] = [
            .unreadLines, .orphanEnds, .gaps, .unfollowedThreads, .cutCalls, .malformedCalls,
        ]
        return hiding.contains { self[$0] > 0 }
    }
}

/// The kinds of text that show slot calls, as reports name them.
package enum EvidenceKind: String, Hashable, Sendable {
    case strace = "strace"
    case qemuTrace = "QEMU's event kvm_set_user_memory"
    case qemuError = "QEMU's error lines"
    case syzkaller = "a syzkaller program"
    case record = "a record of memslotctl run"
}

package struct TraceFault: Hashable, Sendable, CustomStringConvertible {
    /// The line and the column in bytes, from 1.
    package var line: Int
    package var column: Int
    package var expected: String

    package var description: String {
        "line \(line), column \(column): expected \(expected); the call is left out"
    }
}

struct MemoryChange: Hashable {
    var line: Int
    var call: String
    var left: UserMapping
    /// The VM; `nil` if any VM may use it.
    var machine: Int?

    static let limit = 256
}

/// A time of a log, in nanoseconds on the log's scale: since 1970 with `-ttt`, since midnight with
/// `-tt`, since the first line with `-r`.
package struct TraceTime: TypedInteger {
    package var rawValue: UInt64

    package init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The nanoseconds from `earlier`; 0 if that is later, which happens when a clock is set back.
    package func nanoseconds(since earlier: TraceTime) -> UInt64 {
        rawValue > earlier.rawValue ? rawValue - earlier.rawValue : 0
    }

    func advanced(by nanoseconds: UInt64) -> TraceTime {
        TraceTime(rawValue: rawValue &+ nanoseconds)
    }

    /// The seconds from `earlier` to this time, in the form of a scenario's comments: `0.037408 s`.
    func seconds(since earlier: TraceTime) -> String {
        let microseconds = nanoseconds(since: earlier) / 1000
        let digits = String(microseconds % 1_000_000)
        let zeros = String(repeating: "0", count: 6 - digits.count)
        return "\(microseconds / 1_000_000).\(zeros)\(digits) s"
    }
}

/// Whether a vCPU of the VM was inside `KVM_RUN` during a part of the log.
package enum GuestActivity: String, Hashable, Sendable {
    case running
    case notRunning = "out"
    /// The log does not show every vCPU, or a vCPU left or entered at the edge of that part.
    case unknown
}

/// A moment between two times; a missing time is unknown.
package struct Moment: Hashable, Sendable {
    package var earliest, latest: TraceTime?
    /// How often the clock had been set back: only moments of one epoch can be compared.
    var epoch = 0

    func advanced(by nanoseconds: UInt64) -> Moment {
        Moment(
            earliest: earliest?.advanced(by: nanoseconds),
            latest: latest?.advanced(by: nanoseconds), epoch: epoch)
    }

    static func exactly(_ time: TraceTime) -> Moment { Moment(earliest: time, latest: time) }
}

/// How often vCPUs had entered the guest at a place of the log, and how many were inside.
struct GuestPresence: Hashable {
    var entries = 0
    var inside = 0
    /// The same for vCPUs of which the log does not show the VM.
    var strayEntries = 0
    var strayInside = 0
    /// The latest time at which a `KVM_RUN` on one line ended.
    var until: TraceTime?
}

package struct RecordedCall: Hashable, Sendable {
    /// The line, from 1, or the record's number; of a call that strace split, the line of its end.
    package var line: Int
    package var thread: ThreadID
    /// The time of that line, or the end of a recorded call; `nil` in a log without times.
    package var time: TraceTime?
    /// The VM, an index into the log's VMs; in a run, numbered over all its processes.
    package var machine: Int
    /// The arguments; `nil` if strace printed a pointer.
    package var region: RawRegion?
    /// Whether the text has the user address; QEMU's error line does not.
    package var hasUserAddress = true
    /// The errno's name, or the log's text for it; `nil` for a call that succeeded.
    package var errno: String?
    package var begin = Moment()
    package var end = Moment()
    /// The number of earlier `KVM_RUN` calls of the thread.
    package var runsBefore = 0
    /// The number of the VM's commits before a kernel call; `nil` without `--atomic`.
    var commit: Int?
    /// Whether the call was made up from two arrays, so that it shows no hole.
    var isOfArray = false
    /// The line of the thread's next `KVM_RUN`; `nil` if there is none or the calls are recorded.
    var nextRun: Int?
    var atBegin = GuestPresence()
    var atEnd = GuestPresence()

    /// The longest time that it can have taken; 0 if that is unknown.
    var nanoseconds: UInt64 { begin.atMost(until: end) ?? 0 }

    /// One transaction in place of this call, of which only the arrays before and after are known.
    func array(of wanted: [RawRegion], after before: [Memslot]) -> [RecordedCall] {
        let kept = Set(wanted.map { Memslot($0) })
        let present = Set(before)
        let gone = before.filter { !kept.contains($0) }.map { RawRegion($0, size: .zero) }
        return (gone + wanted.filter { !present.contains(Memslot($0)) }).map { region in
            var call = self
            // What a record of an array has as its result is not the result of a call.
            (call.region, call.errno, call.commit, call.isOfArray) = (region, nil, -line, true)
            return call
        }
    }
}
