internal import Glibc

/// A lock with a condition, for threads that wait for each other under a deadline.
///
/// Dispatch has neither: a barrier can't be given up, and a semaphore can't be counted. As a plain
/// lock it stands where ThreadSanitizer is to look on: that doesn't see what orders the threads
/// that wait for a `Mutex`, whose waiting is in a library without instruments.
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

    /// Runs `body` with the lock held.
    package func withLock<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }

    /// Waits for a ``wake()``; with the lock held, which is given up meanwhile.
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

    /// Lets every waiter look again.
    package func wake() {
        if let scheduler = Scheduling.current { scheduler.wake(ObjectIdentifier(self)) }
        pthread_cond_broadcast(condition)
    }
}
