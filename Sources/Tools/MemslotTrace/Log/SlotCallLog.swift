import MemslotScenario
package import Memslots

/// The slot calls of a log: every successful one in order, with its context, and the first failed.
struct SlotCallLog {
    var calls: [RecordedCall] = []
    var failures: [FailedCall] = []
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
    var scenario: String?
    var source: String?
    var counts = TraceCounts()

    /// The most slot calls that are kept, so that no log fills memory.
    static let limit = 1 << 20

    /// Whether a call's thread enters `KVM_RUN`: anywhere in the log, or in a recording so far.
    func isRunner(_ call: RecordedCall, among runners: Set<ThreadID>) -> Bool {
        runners.contains(call.thread) || isRecorded && call.runsBefore > 0
    }

    mutating func add(_ failure: FailedCall) {
        // A real VMM has few errnos; a forged log must not fill memory.
        let isKnown = counts.failedCalls[failure.errno] != nil || counts.failedCalls.count < 64
        counts.failedCalls[isKnown ? failure.errno : "other", default: 0] += 1
        if failures.count < FailedCall.limit { failures.append(failure) }
    }

    func vcpus(of machine: Int) -> KnownVCPUs {
        KnownVCPUs(
            areAllShown: isRecorded ? hasEntries : !isCondensed && machines[machine].showsEveryVCPU,
            strayIsOwn: machines.count == 1)
    }
}

/// The numbers of a log, as ``ImportReport/unknownBecause`` and its notes explain them.
package struct TraceCounts: Hashable, Sendable {
    package var lines = 0
    package var kinds: [EvidenceKind: Int] = [:]
    /// `KVM_RUN` calls, and condensed lines of them.
    package var runs = 0
    /// Slot calls that succeeded, including ``undecodedCalls``.
    package var slotCalls = 0
    /// Slot calls that failed, by the errno's name. They are not part of the scenario.
    package var failedCalls: [String: Int] = [:]
    package var unfinishedCalls = 0
    package var undecodedCalls = 0
    package var undecodedLines: [Int] = []
    package var overlongLines = 0
    package var joinedLines = 0
    package var unquotedLines = 0
    package var cutCalls = 0
    package var malformedCalls = 0
    package var faults: [TraceFault] = []
    package var unreadLines = 0
    package var orphanEnds = 0
    package var gaps = 0
    package var unfollowedThreads = 0
    package var assumedResults = 0
    package var arrays = 0
    package var excessCalls = 0
    package var lostRecords = 0
    package var endsMidCall = false

    /// Whether a vCPU may have been in the guest at a moment of which nothing is read.
    var mayHideRuns: Bool {
        unreadLines + orphanEnds + gaps + unfollowedThreads + cutCalls + malformedCalls > 0
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
    package var earliest: TraceTime?
    package var latest: TraceTime?
    /// How often the clock had been set back: only moments of one epoch can be compared.
    var epoch = 0

    func advanced(by nanoseconds: UInt64) -> Moment {
        func later(_ time: TraceTime) -> TraceTime {
            TraceTime(rawValue: time.rawValue &+ nanoseconds)
        }
        return Moment(earliest: earliest.map(later), latest: latest.map(later), epoch: epoch)
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
    /// The line, from 1; of a call that strace split, the line of its end.
    package var line: Int
    package var thread: ThreadID
    /// The time of that line; `nil` in a log without times.
    package var time: TraceTime?
    /// The VM, an index into the log's VMs.
    package var machine: Int
    /// The arguments; `nil` if strace printed a pointer.
    package var region: RawRegion?
    package var begin = Moment()
    package var end = Moment()
    package var runsBefore: Int
    /// The number of the commit of which the call is a part; `nil` without `--atomic`.
    var commit: Int?
    /// Whether the call was made up from two arrays, so that it shows no hole.
    var isOfArray = false
    /// The line of the thread's next `KVM_RUN`; `nil` if there is none or the calls are recorded.
    var nextRun: Int?
    var atBegin = GuestPresence()
    var atEnd = GuestPresence()

    /// One transaction in place of this call, of which only the arrays before and after are known.
    func array(of wanted: [RawRegion], after before: [Memslot]) -> [RecordedCall] {
        let kept = Set(wanted.map { Memslot($0) })
        let present = Set(before)
        let gone = before.filter { !kept.contains($0) }.map { RawRegion($0, size: .zero) }
        return (gone + wanted.filter { !present.contains(Memslot($0)) }).map { region in
            var call = self
            (call.region, call.commit, call.isOfArray) = (region, -line, true)
            return call
        }
    }
}

package struct FailedCall: Hashable, Sendable {
    package var line: Int
    package var thread: ThreadID
    package var machine: Int
    /// The arguments; `nil` if strace printed a pointer.
    package var region: RawRegion?
    /// Whether the text has the user address; QEMU's error line does not.
    package var hasUserAddress = true
    package var errno: String
    package var time: TraceTime?

    static let limit = 1_000
}
