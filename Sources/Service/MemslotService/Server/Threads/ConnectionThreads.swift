internal import Glibc
internal import Memslots

/// The threads of a server's connections, or of a load's: real ones, capped, and kept for a while.
package final class ConnectionThreads: Sendable {
    private struct State {
        var jobs: [@Sendable () -> Void] = []
        var idle = 0
        var count = 0
        var isClosed = false
    }

    private let state = Locked(State())
    private let limit: Int
    /// Threads that wait for a next connection; more of them end.
    private static let kept = 8
    private static let stackBytes = 2 << 20

    /// No threads yet.
    ///
    /// - Parameter limit: how many there are at most at once.
    package init(limit: Int) { self.limit = limit }

    /// Runs `job` on a thread of its own.
    ///
    /// - Returns: false if there is no thread to be had; nothing was begun then.
    package func run(_ job: @escaping @Sendable () -> Void) -> Bool {
        enum Plan { case wakesOne, needsOne, none }
        let plan = state.change { state -> Plan in
            if state.idle > state.jobs.count {
                state.jobs.append(job)
                return .wakesOne
            }
            guard state.count < limit else { return .none }
            state.count += 1
            return .needsOne
        }
        switch plan {
        case .wakesOne: return true
        case .none: return false
        case .needsOne:
            if start(job) { return true }
            state.change { $0.count -= 1 }
            return false
        }
    }

    /// Lets idle threads end, and waits for all of them.
    ///
    /// - Returns: whether all ended in time.
    package func close(milliseconds: UInt64) -> Bool {
        state.change { $0.isClosed = true }
        return state.wait(while: { $0.count > 0 }, milliseconds: milliseconds)
    }

    private func start(_ job: @escaping @Sendable () -> Void) -> Bool {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, Self.stackBytes)
        // Handed to the thread, which takes over this reference.
        let argument = Unmanaged.passRetained(FirstJob(threads: self, job: job))
        var thread = pthread_t()
        let status = pthread_create(&thread, &attributes, Self.work, argument.toOpaque())
        if status != 0 { argument.release() }
        return status == 0
    }

    private final class FirstJob: Sendable {
        let threads: ConnectionThreads
        let job: @Sendable () -> Void

        init(threads: ConnectionThreads, job: @escaping @Sendable () -> Void) {
            self.threads = threads
            self.job = job
        }
    }

    private static let work: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? =
        { argument in
            guard let argument else { return nil }
            let threads = begin(Unmanaged<FirstJob>.fromOpaque(argument))
            while let job = threads.next() { job() }
            return nil
        }

    /// Runs the first job and lets go of it.
    private static func begin(_ argument: Unmanaged<FirstJob>) -> ConnectionThreads {
        let first = argument.takeRetainedValue()
        first.job()
        return first.threads
    }

    /// Waits for another job; `nil` if the thread is to end.
    private func next() -> (@Sendable () -> Void)? {
        let stays = state.withLock { state in
            guard state.idle < Self.kept else { return false }
            state.idle += 1
            return true
        }
        guard stays else {
            state.change { $0.count -= 1 }
            return nil
        }
        return state.withLock(waitingWhile: { $0.jobs.isEmpty && !$0.isClosed }) { state in
            state.idle -= 1
            return state.jobs.isEmpty ? nil : state.jobs.removeFirst()
        } ?? leave()
    }

    private func leave() -> (@Sendable () -> Void)? {
        state.change { $0.count -= 1 }
        return nil
    }
}
