internal import Glibc
internal import Synchronization

/// Executes sections of many threads one after another, in the order of their calls.
///
/// The thread that is inside executes what waits too, so that threads that contend do not wait for
/// the scheduler at each section. It does so for a limited number of others; then the one that waits
/// longest takes its place.
// Sendable: guarded by the monitor, but `combines`, which is set before the first section.
final class CombiningQueue: @unchecked Sendable {
    private enum State: Int, AtomicRepresentable { case waiting, running, done, mayEnter }

    private final class Job: Sendable {
        let state = Atomic(State.waiting)
        let thread = CombiningQueue.callingThread
        /// Whether another thread may execute it, and this one those of others.
        let mayCombine: Bool
        // Unsafe: its thread waits here while another one runs it.
        nonisolated(unsafe) var body: (() -> Void)?

        init(mayCombine: Bool, _ body: @escaping () -> Void) {
            (self.mayCombine, self.body) = (mayCombine, body)
        }

        /// Runs the body for its thread, and releases it before that thread goes on.
        @inline(never)
        func run() {
            let outer = pthread_getspecific(CombiningQueue.key)
            pthread_setspecific(CombiningQueue.key, UnsafeRawPointer(bitPattern: thread))
            body?()
            body = nil
            pthread_setspecific(CombiningQueue.key, outer)
        }
    }

    private static let key = threadLocalKey()
    /// How many sections of others a thread executes in a row.
    private static let most = 64
    /// After how many of them those that sleep are woken.
    private static let batch = 8

    // Set before the first section.
    nonisolated(unsafe) var combines = true
    private let monitor = Monitor()
    // As long as some sections take: waking a sleeping thread would take longer.
    private let spin = BriefSpin(microseconds: 200)
    // Guarded by `monitor`. Whether a thread is inside.
    private var isEntered = false
    // Guarded by `monitor`. In the order of their calls.
    private var waiting: [Job] = []
    // Guarded by `monitor`. The threads that sleep.
    private var sleepers = 0

    /// How many wait to begin. For tests.
    var waitingCount: Int { monitor.withLock { waiting.count } }

    /// The thread whose section this thread executes; itself outside of one.
    static var callingThread: UInt {
        pthread_getspecific(key).map { UInt(bitPattern: $0) } ?? pthread_self()
    }

    /// Runs `body` alone, on this thread or on one that is inside.
    ///
    /// - Parameters:
    ///   - deadline: until when it may wait to begin.
    ///   - mayCombine: whether this thread may execute sections of others, and they this one. A
    ///     callback that it is inside of would be hidden from that other thread.
    /// - Returns: whether it ran.
    func run(until deadline: Deadline, mayCombine: Bool, _ body: () -> Void) -> Bool {
        withoutActuallyEscaping(body) { body in
            let job = Job(mayCombine: mayCombine, body)
            let state = enter(job) ? .mayEnter : wait(for: job, until: deadline)
            if state == .mayEnter {
                job.run()
                leave(mayCombine)
            }
            job.body = nil
            return state != .waiting
        }
    }

    /// Enters if nobody is inside; else lets `job` wait.
    private func enter(_ job: Job) -> Bool {
        monitor.withLock {
            if isEntered { waiting.append(job) }
            defer { isEntered = true }
            return !isEntered
        }
    }

    /// - Returns: `waiting` if the deadline came first; the job does not wait any more then.
    private func wait(for job: Job, until deadline: Deadline) -> State {
        func state() -> State { job.state.load(ordering: .acquiring) }
        if !deadline.hasPassed { spin.until { state() == .done || state() == .mayEnter } }
        if state() == .done { return .done }
        return monitor.withLock {
            sleepers += 1
            defer { sleepers -= 1 }
            while state() == .waiting {
                if monitor.wait(until: deadline) { continue }
                guard state() == .waiting else { break }
                waiting.removeAll { $0 === job }
                return .waiting
            }
            while state() == .running { monitor.wait() }
            return state()
        }
    }

    /// Executes what waits, and leaves.
    private func leave(_ mayCombine: Bool) {
        var executed = 0
        while let job = next(after: executed, mayCombine) {
            job.run()
            job.state.store(.done, ordering: .releasing)
            executed += 1
        }
    }

    /// The job that this thread executes next; `nil` if it has left.
    private func next(after executed: Int, _ mayCombine: Bool) -> Job? {
        monitor.withLock {
            let isLast =
                waiting.first.map { !$0.mayCombine } ?? true || !mayCombine || !combines
                || executed == Self.most
            if sleepers > 0, isLast || executed % Self.batch == 0 { monitor.wake() }
            guard !waiting.isEmpty else {
                isEntered = false
                return nil
            }
            let job = waiting.removeFirst()
            job.state.store(isLast ? .mayEnter : .running, ordering: .releasing)
            return isLast ? nil : job
        }
    }
}

/// The thread for which this one executes a transaction, as a `pthread_t`: itself, or that of a submit
/// that waited.
package func callingThread() -> UInt { CombiningQueue.callingThread }
