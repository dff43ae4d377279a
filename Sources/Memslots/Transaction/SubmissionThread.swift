internal import Glibc

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
        var thread = pthread_t()
        // Handed to the thread, which takes over this reference.
        let argument = Unmanaged.passRetained(mailbox).toOpaque()
        let status = pthread_create(&thread, nil, Self.work, argument)
        precondition(status == 0, "the process can't have another thread")
        pthread_detach(thread)
    }

    private static let work: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? =
        { argument in
            guard let argument else { return nil }
            let mailbox = Unmanaged<Mailbox>.fromOpaque(argument).takeRetainedValue()
            while let job = mailbox.next() { job() }
            return nil
        }
}
