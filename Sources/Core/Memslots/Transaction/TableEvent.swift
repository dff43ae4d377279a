/// What observers of a table are told, in order and without a gap.
public enum TableEvent: Sendable {
    /// A transaction was committed; `array` is what the VM has now.
    case committed(Receipt, previous: Generation, array: MemslotArray)
    /// The last reader has left all arrays older than `generation`, after a receipt said that
    /// readers stay. Told from a thread of the table's own, or before a submit returns.
    case retired(generation: Generation)
    /// A transaction failed midway and was undone.
    case rolledBack(SubmitError.Rollback, generation: Generation)
    /// Undoing failed.
    case failed(TableFailure, generation: Generation)
    /// A failed table is as before again.
    case recovered(generation: Generation)
}

/// Keeps an observer attached; it is detached when this goes away.
public final class Observation: Sendable {
    private let detach: @Sendable () -> Void

    init(detach: @escaping @Sendable () -> Void) { self.detach = detach }

    deinit { detach() }
}
