internal import CLinux
internal import Glibc
internal import MemslotProtocol
internal import Memslots
internal import Synchronization

/// The threads of a server's connections: real threads, limited in number, and reused.
package final class ConnectionThreads: Sendable {
    private struct State {
        var jobs: [@Sendable () -> Void] = []
        var idle = 0
        var count = 0
        var isClosed = false
    }

    private let state = Locked(State())
    private let limit: Int
    private let budget: Budget?
    /// How many threads wait for a next job; further ones end.
    private static let kept = 8
    /// Over twice what the deepest request uses. A sanitizer's frames are several times larger.
    package static let stackBytes = clinux_is_sanitized() == 1 ? 2 << 20 : 256 << 10

    /// No threads yet, and at most `limit` at once.
    package convenience init(limit: Int) { self.init(limit: limit, budget: nil) }

    /// No threads yet; those of a user are charged to `budget`.
    init(limit: Int, budget: Budget?) { (self.limit, self.budget) = (limit, budget) }

    /// Runs `job` on a thread that is charged to `user`. Returns false if there is none.
    func run(of user: UInt32, _ job: @escaping @Sendable () -> Void) -> Bool {
        guard let budget else { return run(job) }
        do throws(ProtocolError) { try budget.charge(1, to: user) } catch { return false }
        let hasThread = run {
            job()
            budget.release(1, of: user)
        }
        if !hasThread { budget.release(1, of: user) }
        return hasThread
    }

    /// Runs `job` on a thread of its own. Returns false, and does not run it, if there is none.
    package func run(_ job: @escaping @Sendable () -> Void) -> Bool {
        // Whether an idle thread has it; `nil` where it needs a new one.
        let isTaken = state.change { state -> Bool? in
            if state.idle > state.jobs.count {
                state.jobs.append(job)
                return true
            }
            guard state.count < limit else { return false }
            state.count += 1
            return nil
        }
        if let isTaken { return isTaken }
        let hasStarted = start(job)
        if !hasStarted { state.change { $0.count -= 1 } }
        return hasStarted
    }

    /// Ends idle threads, and waits for all to end. Returns whether all ended in time.
    package func close(milliseconds: UInt64) -> Bool {
        state.change { $0.isClosed = true }
        return state.wait(while: { $0.count > 0 }, milliseconds: milliseconds)
    }

    private func start(_ job: @escaping @Sendable () -> Void) -> Bool {
        // In a box, so that the job is released after it has run, and not with the thread.
        let first = Locked<(@Sendable () -> Void)?>(job)
        do throws(Errno) {
            try OwnThread(stackBytes: Self.stackBytes) {
                if let job = first.withLock({ $0.take() }) { job() }
                while let job = self.next() { job() }
            }.detach()
            return true
        } catch { return false }
    }

    /// Waits for another job; `nil` if the thread must end.
    private func next() -> (@Sendable () -> Void)? {
        let isKept = state.withLock { state in
            guard state.idle < Self.kept else { return false }
            state.idle += 1
            return true
        }
        var job: (@Sendable () -> Void)?
        if isKept {
            job = state.withLock(waitingWhile: { $0.jobs.isEmpty && !$0.isClosed }) { state in
                state.idle -= 1
                return state.jobs.isEmpty ? nil : state.jobs.removeFirst()
            }
        }
        if job == nil { state.change { $0.count -= 1 } }
        return job
    }
}

/// Stops all threads of a server, including those in `poll(2)`.
final class StopFlag: Sendable {
    private let flag = Atomic<Bool>(false)
    /// Readable once the flag is set.
    private let descriptor: Int32

    /// A flag that is not set. Without an event descriptor, threads in `poll(2)` are not woken.
    init() { descriptor = clinux_eventfd() }
    deinit { if descriptor >= 0 { close(descriptor) } }
    var isSet: Bool { flag.load(ordering: .acquiring) }

    /// Sets it, for good. Returns whether it had not been set.
    @discardableResult
    func set() -> Bool {
        let wasSet = flag.exchange(true, ordering: .acquiringAndReleasing)
        var one: UInt64 = 1
        if !wasSet { _ = write(descriptor, &one, MemoryLayout<UInt64>.size) }
        return !wasSet
    }

    /// Waits until `input` can be read; returns false where the flag is set. `idle` is called
    /// before each wait, and returns how many milliseconds that may last, -1 for any.
    func waits(for input: Int32, idle: () -> Int32 = { -1 }) -> Bool {
        var descriptors = [
            pollfd(fd: input, events: Int16(POLLIN), revents: 0),
            pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
        ]
        while !isSet {
            let count = poll(&descriptors, 2, idle())
            if count < 0 && errno != EINTR { return false }
            if count > 0 && descriptors[1].revents == 0 { return true }
        }
        return false
    }
}
