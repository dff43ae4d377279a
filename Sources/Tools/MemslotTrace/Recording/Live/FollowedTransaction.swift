package import Memslots

/// A transaction of a run, told as soon as it had ended.
package struct FollowedTransaction: Sendable {
    /// What it was, with its VM's number in the run.
    package var transaction: ImportedTransaction
    /// The calls that changed something, in order.
    package var operations: [SlotCall]
    /// The slots after it, ascending by address space and id.
    package var slots: [Memslot]
    /// How long the calls took together, in nanoseconds.
    package var callNanoseconds: UInt64
    /// From the beginning of the first call to the end of the last, in nanoseconds.
    package var nanoseconds: UInt64
    /// When it began: nanoseconds since the end of the run's first call.
    package var at: UInt64
    /// Its commit, under `--atomic`.
    package var commit: RunCommit?
}

/// What a run does while it lasts.
package enum RunNews: Sendable {
    /// A VM was made.
    case machine(Int)
    /// A transaction ended.
    case transaction(FollowedTransaction)
    /// A VM is gone.
    case gone(Int)
    /// There is no room for more than so many records: nothing more comes, and each VM goes.
    case full(Int)
}
