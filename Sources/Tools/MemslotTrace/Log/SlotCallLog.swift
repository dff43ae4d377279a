package import Memslots

/// The slot calls of a log: every successful call in order, with its context.
struct SlotCallLog {
    var calls: [RecordedCall] = []
    var machines: [TracedMachine] = []
    /// The threads that entered `KVM_RUN`, by VM; those of an unknown VM count for each.
    var runners: [Int: Set<ThreadID>] = [:]
    var runnersAnywhere: Set<ThreadID> = []
    /// Whether `KVM_RUN` calls are folded into our condensed lines.
    var isCondensed = false
    /// Whether all earlier entries of all threads are known at each call, as under `memslotctl
    /// run`; then later calls do not matter.
    var isRecorded = false
    /// Whether the log's times are whole seconds.
    var isCoarse = false
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

    var allRunners: Set<ThreadID> {
        runners.values.reduce(runnersAnywhere) { $0.union($1) }
    }
}

/// Numbers of lines and calls of a log, including those that could not be used.
package struct TraceCounts: Hashable, Sendable {
    package var lines = 0
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
    /// Lines of more than 64 KiB, of which only the beginning was read.
    package var overlongLines = 0
    /// Whether the log ends within a slot call.
    package var endsMidCall = false
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

/// Whether another thread of the VM was inside `KVM_RUN` during a part of the log.
package enum GuestActivity: Hashable, Sendable {
    case running
    case notRunning
    /// Unknown: the log has no `KVM_RUN`, or only our condensed lines, which record returns but
    /// not how long a vCPU was inside.
    case unknown
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
    /// The number of earlier `KVM_RUN` calls of the thread.
    package var runsBefore: Int
    /// Whether a thread was in the guest since the VM's previous call. Includes the calling thread,
    /// so it is meaningful only within one transaction.
    package var guestWasRunning: Bool
}
