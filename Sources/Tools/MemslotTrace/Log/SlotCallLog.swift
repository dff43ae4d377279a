package import Memslots

/// What a log says about slots: every successful call in order, and what went on around them.
struct SlotCallLog {
    var calls: [RecordedCall] = []
    var machines: [TracedMachine] = []
    /// The threads that entered `KVM_RUN`, by VM; those of an unknown VM count for each.
    var runners: [Int: Set<ThreadID>] = [:]
    var runnersAnywhere: Set<ThreadID> = []
    /// Whether `KVM_RUN` calls are folded into our condensed lines.
    var isCondensed = false
    /// Whether every entry of every thread is known at each call, as under `memslotctl run`: then
    /// nothing that comes later decides anything.
    var isRecorded = false
    /// Whether the log's times are whole seconds.
    var isCoarse = false
    /// The name that the log gives itself.
    var scenario: String?
    var counts = TraceCounts()

    /// Whether a thread other than `thread` runs vCPUs of `machine`.
    func hasRunner(otherThan thread: ThreadID, of machine: Int) -> Bool {
        (runners[machine] ?? []).contains { $0 != thread }
            || runnersAnywhere.contains { $0 != thread }
    }

    /// Whether a call's thread enters `KVM_RUN`: anywhere in the log, or in a recording so far.
    func isRunner(_ call: RecordedCall, among runners: Set<ThreadID>) -> Bool {
        runners.contains(call.thread) || isRecorded && call.runsBefore > 0
    }

    var hasRunners: Bool { !runners.isEmpty || !runnersAnywhere.isEmpty }

    /// Every thread that entered `KVM_RUN`.
    var allRunners: Set<ThreadID> {
        runners.values.reduce(runnersAnywhere) { $0.union($1) }
    }
}

/// How many lines and calls a log has, and what of them could not be used.
package struct TraceCounts: Hashable, Sendable {
    /// Lines.
    package var lines = 0
    /// `KVM_RUN` calls, and condensed lines of them.
    package var runs = 0
    /// Slot calls that succeeded, those of ``undecodedCalls`` too.
    package var slotCalls = 0
    /// Slot calls that failed, by the errno's name. They are no part of the scenario.
    package var failedCalls: [String: Int] = [:]
    /// Slot calls that had not returned when the log or their thread ended.
    package var unfinishedCalls = 0
    /// Successful slot calls whose argument strace printed as a pointer.
    package var undecodedCalls = 0
    /// Lines of 64 KiB and more, of which only the beginning was read.
    package var overlongLines = 0
    /// Whether the last line was a slot call that was cut off.
    package var endsMidCall = false

    /// Zero of everything.
    package init() {}
}

/// A moment of a log, in nanoseconds on the log's own scale: since 1970 with `-ttt`, since
/// midnight with `-tt`, since the first line with `-r`.
package struct TraceTime: RawRepresentable, Hashable, Comparable, Sendable {
    /// The nanoseconds.
    package var rawValue: UInt64

    /// Wraps `rawValue` nanoseconds.
    package init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The nanoseconds from `earlier` to this moment; 0 where `earlier` is the later one, which
    /// a clock that was set back can bring about.
    package func nanoseconds(since earlier: TraceTime) -> UInt64 {
        rawValue > earlier.rawValue ? rawValue - earlier.rawValue : 0
    }

    /// The seconds from `earlier` to this moment, as a scenario's comments say it: `0.037408 s`.
    func seconds(since earlier: TraceTime) -> String {
        let microseconds = nanoseconds(since: earlier) / 1000
        let digits = String(microseconds % 1_000_000)
        let zeros = String(repeating: "0", count: 6 - digits.count)
        return "\(microseconds / 1_000_000).\(zeros)\(digits) s"
    }

    /// Orders by time.
    package static func < (left: TraceTime, right: TraceTime) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// Whether another thread of the VM was inside `KVM_RUN` over a stretch of the log.
package enum GuestActivity: Hashable, Sendable {
    /// Another thread was.
    case running
    /// No other thread was.
    case notRunning
    /// The log can't tell: it holds no `KVM_RUN`, or only our condensed lines, which tell of
    /// returns but not of how long a vCPU stayed inside.
    case unknown
}

/// One successful slot call of a log, in the order in which they took effect.
package struct RecordedCall: Hashable, Sendable {
    /// The line that it counts on, from 1; of a call that strace split, the one where it resumes.
    package var line: Int
    /// Who made it.
    package var thread: ThreadID
    /// When: the time of that line; `nil` in a log without times.
    package var time: TraceTime?
    /// Which VM it was for, an index into the log's VMs.
    package var machine: Int
    /// The words; `nil` where strace printed a pointer instead.
    package var region: RawRegion?
    /// How often the thread had entered `KVM_RUN` before.
    package var runsBefore: Int
    /// Whether a thread was in the guest since the VM's call before this one; the calling thread
    /// counts too, so it says something within one transaction only.
    package var guestWasRunning: Bool
}
