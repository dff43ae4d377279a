/// A state behind a ``Monitor``: a lock, and a way to wait for changes of what it guards.
///
/// It stands where `Mutex` could, for its `withLock` is the same. But ThreadSanitizer sees what it
/// orders, a thread can wait for a change of the state, and can do so under a deadline.
// Unchecked: the state is touched under the lock alone.
package final class Locked<State>: @unchecked Sendable {
    private let monitor = Monitor()
    private var state: State

    package init(_ state: sending State) { self.state = state }

    /// Runs `body` on the state. Waiters don't look again.
    package func withLock<R, E: Error>(
        _ body: (inout State) throws(E) -> R
    ) throws(E) -> R {
        try monitor.withLock { () throws(E) -> R in try body(&state) }
    }

    /// Runs `body` on the state, and lets all waiters look again.
    @discardableResult
    package func change<R>(_ body: (inout State) -> R) -> R {
        monitor.withLock {
            defer { monitor.wake() }
            return body(&state)
        }
    }

    /// Waits until `isUnready` no longer holds, then runs `body`.
    package func withLock<R>(
        waitingWhile isUnready: (borrowing State) -> Bool, _ body: (inout State) -> R
    ) -> R {
        monitor.withLock {
            while isUnready(state) { monitor.wait() }
            return body(&state)
        }
    }

    /// Waits until `isUnready` no longer holds, but not longer than `milliseconds`.
    ///
    /// - Returns: whether it no longer holds.
    @discardableResult
    package func wait(
        while isUnready: (borrowing State) -> Bool, milliseconds: UInt64
    ) -> Bool {
        let deadline = Deadline.after(.milliseconds(Int64(clamping: milliseconds)))
        return monitor.withLock {
            while isUnready(state) {
                guard monitor.wait(until: deadline) else { return !isUnready(state) }
            }
            return true
        }
    }
}
