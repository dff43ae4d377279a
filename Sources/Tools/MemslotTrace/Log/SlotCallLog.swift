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
