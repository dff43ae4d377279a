package import CDispatch
internal import Dispatch
internal import Glibc

/// A real thread for one purpose, where a pool's would be kept from others: it waits for long, or
/// is in the guest.
package struct OwnThread: Sendable {
    private final class Job: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    private let thread: pthread_t

    /// Starts the thread; ``join()`` or ``detach()`` it, once.
    ///
    /// - Parameters:
    ///   - stackBytes: the size of its stack; `nil` for the system's default.
    ///   - body: what the thread runs.
    /// - Throws: `EAGAIN` where the process can't have another.
    package init(stackBytes: Int? = nil, _ body: @escaping @Sendable () -> Void) throws(Errno) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        if let stackBytes { pthread_attr_setstacksize(&attributes, stackBytes) }
        var thread = pthread_t()
        // The thread adopts this reference.
        let job = Unmanaged.passRetained(Job(body))
        let status = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Job>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            }, job.toOpaque())
        guard status == 0 else {
            job.release()
            throw Errno(rawValue: status)
        }
        self.thread = thread
    }

    package func join() { pthread_join(thread, nil) }

    /// Lets it end by itself.
    package func detach() { pthread_detach(thread) }
}

/// Creates a key of thread-local memory. `release` gets what a thread has there when it ends.
package func threadLocalKey(
    release: (@convention(c) (UnsafeMutableRawPointer?) -> Void)? = nil
) -> pthread_key_t {
    var key = pthread_key_t()
    let status = pthread_key_create(&key, release)
    precondition(status == 0, "the process has no thread-local key left")
    return key
}

/// A thread of its own for jobs that wait, in the order given.
///
/// Dispatch's pool and Swift's are not for waiting: with their threads blocked, nothing else runs.
/// The thread is started by the first job and ends with its owner.
final class SubmissionThread: Sendable {
    private struct Mailbox {
        var jobs: [(hasWaited: Bool, body: Job)] = []
        var hasThread = false
        var isBusy = false
        var isClosed = false
    }

    /// Receives whether others were executed between the call and it. Returns what is called when
    /// the next one may begin: it may lead to another call.
    typealias Job = @Sendable (_ hasWaited: Bool) -> () -> Void

    private let mailbox = Locked(Mailbox())

    deinit { mailbox.change { $0.isClosed = true } }

    /// How many wait to begin. For tests.
    var waitingCount: Int { mailbox.withLock { $0.jobs.count } }

    /// Runs `job` on the thread, after those given before it.
    func run(_ job: @escaping @Sendable () -> Void) {
        run(reportingWait: { _ in
            job()
            return {}
        })
    }

    /// As ``run(_:)``.
    func run(reportingWait job: @escaping Job) {
        let needsThread = mailbox.change { mailbox in
            mailbox.jobs.append((mailbox.isBusy || !mailbox.jobs.isEmpty, job))
            defer { mailbox.hasThread = true }
            return !mailbox.hasThread
        }
        guard needsThread else { return }
        let runAll: @Sendable () -> Void = { [mailbox] in
            while let job = Self.nextJob(in: mailbox) {
                let completion = job.body(job.hasWaited)
                mailbox.withLock { $0.isBusy = false }
                completion()
            }
        }
        if let scheduler = Scheduling.current { return scheduler.spawn(runAll) }
        do throws(Errno) {
            try OwnThread(runAll).detach()
        } catch {
            preconditionFailure("the process can't have another thread: \(error)")
        }
    }

    /// Waits for a job, except in a simulation: another thread is started there for the next job, so
    /// that the simulation can end.
    private static func nextJob(in mailbox: Locked<Mailbox>) -> (hasWaited: Bool, body: Job)? {
        let waits = Scheduling.current == nil
        return mailbox.withLock(waitingWhile: { waits && $0.jobs.isEmpty && !$0.isClosed }) {
            if $0.jobs.isEmpty, !$0.isClosed { $0.hasThread = false }
            $0.isBusy = !$0.jobs.isEmpty
            return $0.jobs.isEmpty ? nil : $0.jobs.removeFirst()
        }
    }
}
