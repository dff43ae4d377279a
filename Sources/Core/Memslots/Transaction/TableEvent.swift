/// What happens to a table; observers get all events, in order.
public enum TableEvent: Sendable {
    /// A transaction was committed; `array` is what the VM has now.
    case committed(Receipt, previous: Generation, array: MemslotArray)
    /// The last reader has left all arrays older than `generation`, after a receipt was not
    /// ``Receipt/retired``. Sent from a thread of the table's own, or before a submit returns.
    case retired(generation: Generation)
    /// A transaction failed midway and was undone.
    case rolledBack(SubmitError.Rollback, generation: Generation)
    /// Undoing failed.
    case failed(TableFailure, generation: Generation)
    /// A failed table is as before again.
    case recovered(generation: Generation)
}

/// An observer's registration with a table.
public final class Observation: Sendable {
    private let detach: @Sendable () -> Void

    init(detach: @escaping @Sendable () -> Void) { self.detach = detach }

    deinit { detach() }

    /// Removes the observer; nothing happens if it is removed already. Call from any thread, also
    /// from inside an observer. An event that is being sent may still arrive.
    ///
    /// An observation that is released is cancelled, too.
    public func cancel() { detach() }
}
