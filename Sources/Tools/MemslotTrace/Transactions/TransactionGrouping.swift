/// Decides which of a VM's calls belong together, as the VMM must have meant them.
///
/// A plain state machine, one a VM: it is given the calls in order, and says of each whether it
/// begins a transaction. A transaction is a run of calls of one thread; another thread's call
/// ends it, and so does the thread's entering `KVM_RUN`. A thread that never does has no such
/// mark, and is cut at a pause.
struct TransactionGrouping {
    /// The longest pause within a transaction of a thread that never enters `KVM_RUN`.
    let gapNanoseconds: UInt64
    /// Whether times are whole seconds, so that a difference of one may be next to nothing.
    let isCoarse: Bool

    private var previous: Previous?

    private struct Previous {
        var thread: ThreadID
        var time: TraceTime?
        var runsBefore: Int
    }

    init(gapNanoseconds: UInt64, isCoarse: Bool = false) {
        self.gapNanoseconds = gapNanoseconds
        self.isCoarse = isCoarse
    }

    /// Takes the next call.
    ///
    /// - Parameter isRunner: whether its thread enters `KVM_RUN` anywhere in the log.
    /// - Returns: whether a transaction begins with it.
    mutating func begins(with call: RecordedCall, isRunner: Bool) -> Bool {
        defer {
            previous = Previous(
                thread: call.thread, time: call.time, runsBefore: call.runsBefore)
        }
        guard let previous, previous.thread == call.thread else { return true }
        if isRunner { return previous.runsBefore != call.runsBefore }
        guard let earlier = previous.time, let time = call.time else { return false }
        var pause = time.nanoseconds(since: earlier)
        if isCoarse { pause = pause > 1_000_000_000 ? pause - 1_000_000_000 : 0 }
        return pause > gapNanoseconds
    }
}
