internal import Glibc

/// A state behind a lock, with a condition to wait for its changes.
///
/// Connections block real threads: Dispatch's pool and Swift's are not for waiting.
// Unchecked: the state is touched under the lock alone, and the pthread objects never move.
final class Monitor<State>: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var state: State
    /// How many threads wait; with none, waking costs nothing.
    private var waiters = 0

    init(_ state: State) {
        self.state = state
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

    /// Runs `body` on the state. Waiters don't look again.
    func withLock<R>(_ body: (inout State) -> R) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body(&state)
    }

    /// Runs `body` on the state, and lets all waiters look again.
    @discardableResult
    func change<R>(_ body: (inout State) -> R) -> R {
        pthread_mutex_lock(mutex)
        defer {
            if waiters > 0 { pthread_cond_broadcast(condition) }
            pthread_mutex_unlock(mutex)
        }
        return body(&state)
    }

    /// Waits until `condition` no longer holds, then runs `body`.
    func withLock<R>(
        waitingWhile isUnready: (borrowing State) -> Bool, _ body: (inout State) -> R
    ) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while isUnready(state) { wait() }
        return body(&state)
    }

    /// Waits until `condition` no longer holds, but not longer than `milliseconds`.
    ///
    /// - Returns: whether it no longer holds.
    @discardableResult
    func wait(while isUnready: (borrowing State) -> Bool, milliseconds: UInt64) -> Bool {
        var moment = timespec()
        clock_gettime(CLOCK_MONOTONIC, &moment)
        let nanoseconds = UInt64(moment.tv_nsec) + (milliseconds % 1_000) * 1_000_000
        moment.tv_sec += Int(clamping: milliseconds / 1_000 + nanoseconds / 1_000_000_000)
        moment.tv_nsec = Int(nanoseconds % 1_000_000_000)
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while isUnready(state) {
            waiters += 1
            let status = pthread_cond_timedwait(condition, mutex, &moment)
            waiters -= 1
            if status == ETIMEDOUT { return !isUnready(state) }
        }
        return true
    }

    private func wait() {
        waiters += 1
        pthread_cond_wait(condition, mutex)
        waiters -= 1
    }
}
