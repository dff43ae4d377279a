import Memslots

/// Which backend calls are to fail.
struct FaultPlan {
    /// A fault that waits to fire.
    enum Fault: Hashable {
        /// Call `operation` of a transaction, once.
        case once(operation: Int, Errno)
        /// Every call from `operation` on, until it is disarmed.
        case persistent(operation: Int, Errno)
        /// Call `operation`, and later in the same transaction call `undo`.
        case undo(operation: Int, undo: Int, Errno)
        /// The next reading of a dirty log.
        case log(Errno)
    }

    var armed: Fault?
    private var call = 0

    mutating func transactionBegins() { call = 0 }

    /// Counts a slot call.
    ///
    /// - Returns: what it fails with.
    mutating func nextCall() -> Errno? {
        defer { call += 1 }
        switch armed {
        case .once(call, let errno):
            armed = nil
            return errno
        case .persistent(let first, let errno): return call >= first ? errno : nil
        case .undo(call, let undo, let errno):
            armed = .once(operation: undo, errno)
            return errno
        default: return nil
        }
    }

    /// Counts a reading of a dirty log.
    ///
    /// - Returns: what it fails with.
    mutating func nextLogRead() -> Errno? {
        guard case .log(let errno) = armed else { return nil }
        armed = nil
        return errno
    }
}
