public import Memslots

/// A slot call of a transaction that is to fail.
public struct FaultInjection: Hashable, Sendable {
    /// Which slot call of a transaction, from 0; those of the undo count on.
    public var operation: Int
    /// What it answers. The call then has no effect.
    public var errno: Errno
    /// In how many of the transactions that reach ``operation``.
    public var times: Int

    /// Describes a fault.
    ///
    /// - Parameters:
    ///   - operation: at least 0; a negative one never fires.
    ///   - errno: the answer.
    ///   - times: at least 1; with less, nothing is armed.
    public init(operation: Int, errno: Errno, times: Int = 1) {
        self.operation = operation
        self.errno = errno
        self.times = times
    }
}
