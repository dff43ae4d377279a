internal import Glibc

/// A state behind a ``Monitor``: a lock, and a way to wait for changes of what it guards.
///
/// It stands where `Mutex` could, for its `withLock` is the same. But ThreadSanitizer sees what it
/// orders, a thread can wait for a change of the state, and can do so under a deadline.
// Unchecked: the state is touched under the lock alone.
package final class Locked<State>: @unchecked Sendable {
    private let monitor = Monitor()
    private var state: State

    package init(_ state: sending State) { self.state = state }

    /// Runs `body` on the state. Waiters are not woken.
    package func withLock<R, E: Error>(_ body: (inout State) throws(E) -> R) throws(E) -> R {
        try monitor.withLock { () throws(E) -> R in try body(&state) }
    }

    /// Runs `body` on the state, and wakes all waiters.
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

/// A lock with a condition, for threads that wait for each other under a deadline.
///
/// Dispatch has neither: a wait for a barrier can't time out, and a semaphore has no readable count.
/// It also replaces `Mutex` as a plain lock: ThreadSanitizer does not see how a `Mutex` orders its
/// waiters, which wait in a library without instrumentation.
// Sendable: the two pthread objects are made for sharing, and never move.
package final class Monitor: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    package init() {
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    package func withLock<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }

    /// Waits for a ``wake()``; with the lock held, which is released meanwhile.
    package func wait() { _ = wait(until: .never) }

    /// As ``wait()``, but not past `deadline`.
    ///
    /// - Returns: whether there was time left.
    package func wait(until deadline: Deadline) -> Bool {
        if let scheduler = Scheduling.current {
            pthread_mutex_unlock(mutex)
            defer { pthread_mutex_lock(mutex) }
            return scheduler.wait(for: ObjectIdentifier(self), until: deadline)
        }
        if deadline == .never {
            pthread_cond_wait(condition, mutex)
            return true
        }
        var moment = timespec(
            tv_sec: Int(deadline.nanoseconds / 1_000_000_000),
            tv_nsec: Int(deadline.nanoseconds % 1_000_000_000))
        return pthread_cond_timedwait(condition, mutex, &moment) != ETIMEDOUT
    }

    package func wake() {
        if let scheduler = Scheduling.current { scheduler.wake(ObjectIdentifier(self)) }
        pthread_cond_broadcast(condition)
    }
}
