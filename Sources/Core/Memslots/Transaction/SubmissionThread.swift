/// A thread of its own for jobs that wait, in the order given.
///
/// Dispatch's pool and Swift's are not for waiting: with their threads blocked, nothing else runs.
/// The thread is started by the first job and ends with its owner.
// Sendable: all state is guarded by the monitor of the mailbox.
final class SubmissionThread: Sendable {
    private let mailbox = Mailbox()

    private final class Mailbox: Sendable {
        let monitor = Monitor()
        // Guarded by `monitor`.
        nonisolated(unsafe) var jobs: [@Sendable () -> Void] = []
        // Guarded by `monitor`.
        nonisolated(unsafe) var hasThread = false
        // Guarded by `monitor`.
        nonisolated(unsafe) var isClosed = false

        func next() -> (@Sendable () -> Void)? {
            monitor.withLock {
                while jobs.isEmpty && !isClosed {
                    if Scheduling.current != nil {
                        // Another is started for the next job, so that a simulation can end.
                        hasThread = false
                        return nil
                    }
                    monitor.wait()
                }
                return jobs.isEmpty ? nil : jobs.removeFirst()
            }
        }
    }

    deinit {
        mailbox.monitor.withLock {
            mailbox.isClosed = true
            mailbox.monitor.wake()
        }
    }

    /// Runs `job` on the thread, after those given before it.
    func run(_ job: @escaping @Sendable () -> Void) {
        let mailbox = mailbox
        let needsThread = mailbox.monitor.withLock {
            mailbox.jobs.append(job)
            mailbox.monitor.wake()
            defer { mailbox.hasThread = true }
            return !mailbox.hasThread
        }
        guard needsThread else { return }
        if let scheduler = Scheduling.current {
            return scheduler.spawn { while let job = mailbox.next() { job() } }
        }
        do throws(Errno) {
            try OwnThread { while let job = mailbox.next() { job() } }.detach()
        } catch {
            preconditionFailure("the process can't have another thread: \(error)")
        }
    }
}
