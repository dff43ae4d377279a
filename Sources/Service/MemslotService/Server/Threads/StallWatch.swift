internal import CLinux
internal import Memslots
internal import Synchronization

/// Sees to it that a request that takes long does not keep its connection from being read.
///
/// A thread that looks every millisecond whether a reading thread is still at the request that it
/// was at before, and then lets another thread read. While nobody asks anything, it sleeps.
final class StallWatch: Sendable {
    private struct State {
        var connections: [UInt64: Watched] = [:]
        var isAwake = false
        var isStopped = false
        var hasEnded = true
    }

    private struct Watched {
        let connection: Connection
        var seen: RequestLanes.Number = 0
        var handedOver: RequestLanes.Number = 0
    }

    private let state = Locked(State())
    /// As the state's, to be looked at for every request.
    private let isAwake = Atomic<Bool>(false)
    /// Whether a request or an answer of megabytes has come by since memory was given back.
    private let hasHeldMuch = Atomic<Bool>(false)
    /// Looks without news before it sleeps.
    private static let quietLooks = 64

    /// Begins on a thread of `threads`.
    ///
    /// - Returns: false if there was none to be had.
    func start(on threads: ConnectionThreads) -> Bool {
        state.withLock { $0.hasEnded = false }
        let hasStarted = threads.run { self.run() }
        if !hasStarted { state.withLock { $0.hasEnded = true } }
        return hasStarted
    }

    /// Ends it, and waits until it has ended.
    func stop() {
        state.change { $0.isStopped = true }
        state.withLock(waitingWhile: { !$0.hasEnded }) { _ in }
    }

    func add(_ connection: Connection) {
        state.withLock { $0.connections[connection.number] = Watched(connection: connection) }
    }

    func remove(_ connection: Connection) {
        _ = state.withLock { $0.connections.removeValue(forKey: connection.number) }
    }

    /// Notes that a reading thread begins a request, after it has said which.
    @inline(__always)
    func noteRequest() {
        // Sequentially consistent, as is saying which: either this wakes the watch, or the watch
        // sees the request before it sleeps.
        if !isAwake.load(ordering: .sequentiallyConsistent) { wake() }
    }

    /// Notes that a request or an answer took megabytes.
    func noteMuchMemory() { hasHeldMuch.store(true, ordering: .relaxed) }

    @inline(never)
    private func wake() {
        guard !isAwake.exchange(true, ordering: .sequentiallyConsistent) else { return }
        state.change { $0.isAwake = true }
    }

    private func run() {
        var quiet = 0
        while waitForNextLook(isQuiet: quiet >= Self.quietLooks) {
            quiet = look() ? 0 : quiet < Self.quietLooks ? quiet + 1 : 0
        }
        state.change { $0.hasEnded = true }
    }

    /// - Returns: false once stopped.
    private func waitForNextLook(isQuiet: Bool) -> Bool {
        if isQuiet {
            state.withLock { $0.isAwake = false }
            isAwake.store(false, ordering: .sequentiallyConsistent)
            // Not before there is nothing to do: the next large request would have to take it again.
            if hasHeldMuch.exchange(false, ordering: .relaxed) { clinux_give_memory_back() }
            if !isAnyoneBusy {
                state.withLock(waitingWhile: { !$0.isAwake && !$0.isStopped }) { _ in }
            }
            isAwake.store(true, ordering: .sequentiallyConsistent)
        }
        state.wait(while: { !$0.isStopped }, milliseconds: 1)
        return state.withLock { !$0.isStopped }
    }

    private var isAnyoneBusy: Bool {
        state.withLock { state in
            state.connections.values.contains {
                $0.connection.ownRequest.load(ordering: .sequentiallyConsistent) != 0
            }
        }
    }

    /// Looks once.
    ///
    /// - Returns: whether anything happened since the last time.
    private func look() -> Bool {
        var stalled: [(Connection, RequestLanes.Number)] = []
        let hasNews = state.withLock { state in
            var hasNews = false
            for (number, watched) in state.connections {
                let now = watched.connection.ownRequest.load(ordering: .relaxed)
                if now != watched.seen {
                    hasNews = true
                    state.connections[number]?.seen = now
                } else if now != 0 && now != watched.handedOver {
                    stalled.append((watched.connection, now))
                    // Looks on while there is no thread to be had.
                    hasNews = true
                }
            }
            return hasNews
        }
        for (connection, request) in stalled where connection.handOver(request) {
            state.withLock { $0.connections[connection.number]?.handedOver = request }
        }
        return hasNews
    }
}
