import MemslotScenario
package import Memslots

/// The slot calls of a log: every successful call in order, with its context, and the first
/// failed ones.
struct SlotCallLog {
    var calls: [RecordedCall] = []
    var failures: [FailedCall] = []
    /// The first `KVM_RUN` calls that returned `EFAULT`.
    var runFaults: [RunFault] = []
    /// The last changes of user memory: the line, the call and the range.
    var memoryChanges: [MemoryChange] = []
    /// What a record says of such changes, and of memory tables.
    var findings: [(machine: Int, finding: Finding)] = []
    /// What was sent of memory tables.
    var tables: [TableMessage] = []
    var machines: [TracedMachine] = []
    /// The threads that entered `KVM_RUN`.
    var runners: Set<ThreadID> = []
    /// Whether `KVM_RUN` calls are folded into our condensed lines.
    var isCondensed = false
    /// Whether all earlier entries of all threads are known at each call, as under `memslotctl
    /// run`; then later calls do not matter.
    var isRecorded = false
    /// Whether recorded calls have the number of all entries of the VM's vCPUs.
    var hasEntries = true
    /// Whether the log's times are whole seconds.
    var isCoarse = false
    /// Whether the clock was set back.
    var clockJumps = false
    var scenario: String?
    /// Where a scenario says that it is from.
    var source: String?
    var counts = TraceCounts()

    /// The most slot calls that are kept, so that no log fills memory.
    static let limit = 1 << 20

    /// Whether a call's thread enters `KVM_RUN`: anywhere in the log, or in a recording so far.
    func isRunner(_ call: RecordedCall, among runners: Set<ThreadID>) -> Bool {
        runners.contains(call.thread) || isRecorded && call.runsBefore > 0
    }

    /// Counts a failed call, and keeps the first ones.
    mutating func add(_ failure: FailedCall) {
        // A real VMM has few errnos; a forged log must not fill memory.
        let isKnown = counts.failedCalls[failure.errno] != nil || counts.failedCalls.count < 64
        counts.failedCalls[isKnown ? failure.errno : "other", default: 0] += 1
        if failures.count < FailedCall.limit { failures.append(failure) }
    }

    /// What is known of the vCPUs of a VM.
    func vcpus(of machine: Int) -> KnownVCPUs {
        KnownVCPUs(
            areAllShown: isRecorded ? hasEntries : !isCondensed && machines[machine].showsEveryVCPU,
            strayIsOwn: machines.count == 1)
    }
}

/// Numbers of lines and calls of a log, including those that could not be used.
package struct TraceCounts: Hashable, Sendable {
    package var lines = 0
    /// The recognised lines, by the kind of evidence.
    package var kinds: [EvidenceKind: Int] = [:]
    /// `KVM_RUN` calls, and condensed lines of them.
    package var runs = 0
    /// Slot calls that succeeded, including ``undecodedCalls``.
    package var slotCalls = 0
    /// Slot calls that failed, by the errno's name. They are not part of the scenario.
    package var failedCalls: [String: Int] = [:]
    /// Slot calls that had not returned when the log or their thread ended.
    package var unfinishedCalls = 0
    /// Successful slot calls whose argument strace printed as a pointer.
    package var undecodedCalls = 0
    /// The lines of the first of them.
    package var undecodedLines: [Int] = []
    /// Lines of more than 64 KiB, of which only the beginning was read.
    package var overlongLines = 0
    /// Lines that were joined to the line before, which a mail program or a terminal had wrapped.
    package var joinedLines = 0
    /// Lines that were read without a quotation mark, `>`, at their start.
    package var unquotedLines = 0
    /// Slot calls that are not wholly in the log.
    package var cutCalls = 0
    /// Slot calls in no known form; ``faults`` lists the first.
    package var malformedCalls = 0
    package var faults: [TraceFault] = []
    /// Lines that may show a slot call or a vCPU, and that can't be read.
    package var unreadLines = 0
    /// Ends of calls whose beginning is not in the log.
    package var orphanEnds = 0
    /// Places where the text says that lines were left out.
    package var gaps = 0
    /// Threads that the log starts and does not follow.
    package var unfollowedThreads = 0
    /// Calls of a program without results, which are assumed to have succeeded.
    package var assumedResults = 0
    /// Submits of a scenario without recorded calls.
    package var arrays = 0
    /// Slot calls beyond the limit.
    package var excessCalls = 0
    /// Records of a run between the first and the newest that were not kept.
    package var lostRecords = 0
    /// Whether the log ends within a slot call.
    package var endsMidCall = false

    /// Whether a vCPU may have been in the guest at a moment of which nothing is read.
    var mayHideRuns: Bool {
        unreadLines + orphanEnds + gaps + unfollowedThreads + cutCalls + malformedCalls > 0
    }
}

/// The kinds of text that show slot calls.
package enum EvidenceKind: String, Hashable, Sendable, Comparable {
    case strace = "strace"
    case qemuTrace = "QEMU's event kvm_set_user_memory"
    case qemuError = "QEMU's error lines"
    case syzkaller = "a syzkaller program"
    case record = "a record of memslotctl run"

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// A slot call that can't be read: its place, and what was expected there.
package struct TraceFault: Hashable, Sendable, CustomStringConvertible {
    /// The line and the column in bytes, from 1.
    package var line: Int
    package var column: Int
    package var expected: String

    package var description: String {
        "line \(line), column \(column): expected \(expected); the call is left out"
    }
}

/// User memory that a call unmapped or protected.
struct MemoryChange: Hashable {
    var line: Int
    var call: String
    /// The memory, and what is left of it.
    var left: UserMapping
    /// The VM; `nil` if any VM may use it.
    var machine: Int?

    /// The most that are kept: the last ones.
    static let limit = 256
}

/// A time of a log, in nanoseconds on the log's scale: since 1970 with `-ttt`, since midnight with
/// `-tt`, since the first line with `-r`.
package struct TraceTime: RawRepresentable, Hashable, Comparable, Sendable {
    package var rawValue: UInt64

    package init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The nanoseconds from `earlier` to this time; 0 if `earlier` is later, which happens when a
    /// clock is set back.
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

    package static func < (left: TraceTime, right: TraceTime) -> Bool {
        left.rawValue < right.rawValue
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

/// One successful slot call of a log, in the order in which they took effect.
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
    /// The number of earlier `KVM_RUN` calls of the thread.
    package var runsBefore: Int
    /// The number of the commit of which the call is a part; `nil` without `--atomic`.
    var commit: Int?
    /// Whether the call was made up from two arrays, so that it shows no hole.
    var isOfArray = false
    /// The line of the thread's next `KVM_RUN`; `nil` if there is none or the calls are recorded.
    var nextRun: Int?
    /// The vCPUs at the begin and at the end of the call.
    var atBegin = GuestPresence()
    var atEnd = GuestPresence()

    /// The changes between two arrays, of which the calls aren't known: one transaction, with the
    /// place and time of this call.
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

/// One failed slot call, to be explained with the array at its place.
package struct FailedCall: Hashable, Sendable {
    package var line: Int
    package var thread: ThreadID
    package var machine: Int
    /// The arguments; `nil` if strace printed a pointer.
    package var region: RawRegion?
    /// Whether the text has the user address; QEMU's error line does not.
    package var hasUserAddress = true
    /// The errno's name.
    package var errno: String
    /// The time of its line, if the text has times.
    package var time: TraceTime?

    /// The most that are kept of a log.
    static let limit = 1_000
}
