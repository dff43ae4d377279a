internal import CLinux
internal import Memslots
internal import Synchronization

/// Finds requests that take long, so that their connections are read meanwhile: checks every
/// millisecond whether a reader executes the request of the check before. Sleeps without requests.
final class StallWatch: Sendable {
    /// One connection's reading thread, as the watch sees it.
    final class Reader: Sendable {
        /// The request that the thread executes itself; 0 for none.
        fileprivate let request = Atomic<RequestLanes.Number>(0)
        fileprivate let replace: @Sendable (RequestLanes.Number) -> Bool
        private let watch: StallWatch

        fileprivate init(
            _ watch: StallWatch, replace: @escaping @Sendable (RequestLanes.Number) -> Bool
        ) {
            (self.watch, self.replace) = (watch, replace)
        }

        /// Records that the reading thread begins a request.
        @inline(__always)
        func begin(_ number: RequestLanes.Number) {
            request.store(number, ordering: .sequentiallyConsistent)
            // Sequentially consistent: this wakes the watch, or that sees the request.
            if !watch.isAwake.load(ordering: .sequentiallyConsistent) { watch.wake() }
        }

        /// Records that the request is done, unless another thread reads by now.
        @inline(__always)
        func end(_ number: RequestLanes.Number) {
            _ = request.compareExchange(expected: number, desired: 0, ordering: .relaxed)
        }
    }

    private struct State {
        var readers: [ObjectIdentifier: Watched] = [:]
        var isAwake = false
        var isStopped = false
        var hasEnded = true
    }

    private struct Watched {
        let reader: Reader
        var seen: RequestLanes.Number = 0
        var replaced: RequestLanes.Number = 0
    }

    private let state = Locked(State())
    /// As in the state; every request reads it.
    private let isAwake = Atomic<Bool>(false)
    /// Whether a request or a reply of megabytes came since memory was released.
    private let hasHeldMuch = Atomic<Bool>(false)
    /// How many checks without news come before the watch sleeps.
    private static let quietChecks = 64

    /// Begins on a thread of `threads`. Returns false if there was no thread.
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

    /// Watches a reader. `replace`, called until it returns true, has another thread read.
    func add(replacing replace: @escaping @Sendable (RequestLanes.Number) -> Bool) -> Reader {
        let reader = Reader(self, replace: replace)
        state.withLock { $0.readers[ObjectIdentifier(reader)] = Watched(reader: reader) }
        return reader
    }

    func remove(_ reader: Reader) {
        _ = state.withLock { $0.readers.removeValue(forKey: ObjectIdentifier(reader)) }
    }

    /// Records that a request or a reply took megabytes.
    func recordMuchMemory() { hasHeldMuch.store(true, ordering: .relaxed) }

    @inline(never)
    private func wake() {
        guard !isAwake.exchange(true, ordering: .sequentiallyConsistent) else { return }
        state.change { $0.isAwake = true }
    }

    private func run() {
        var quiet = 0
        while waitForNextCheck(isQuiet: quiet >= Self.quietChecks) {
            quiet = check() ? 0 : quiet < Self.quietChecks ? quiet + 1 : 0
        }
        state.change { $0.hasEnded = true }
    }

    /// - Returns: false once stopped.
    private func waitForNextCheck(isQuiet: Bool) -> Bool {
        if isQuiet {
            state.withLock { $0.isAwake = false }
            isAwake.store(false, ordering: .sequentiallyConsistent)
            // Only when there is nothing to do: the next large request would need it again.
            if hasHeldMuch.exchange(false, ordering: .relaxed) { clinux_give_memory_back() }
            let isAnyReaderBusy = state.withLock { state in
                state.readers.values.contains {
                    $0.reader.request.load(ordering: .sequentiallyConsistent) != 0
                }
            }
            if !isAnyReaderBusy {
                state.withLock(waitingWhile: { !$0.isAwake && !$0.isStopped }) { _ in }
            }
            isAwake.store(true, ordering: .sequentiallyConsistent)
        }
        state.wait(while: { !$0.isStopped }, milliseconds: 1)
        return state.withLock { !$0.isStopped }
    }

    /// Checks all readers once. Returns whether anything happened since the check before.
    private func check() -> Bool {
        var stalled: [(Reader, RequestLanes.Number)] = []
        let hasNews = state.withLock { state in
            var hasNews = false
            for (id, watched) in state.readers {
                // Acquiring: what the thread has done to its buffer passes on to the next reader.
                let now = watched.reader.request.load(ordering: .acquiring)
                if now != watched.seen {
                    hasNews = true
                    state.readers[id]?.seen = now
                } else if now != 0 && now != watched.replaced {
                    stalled.append((watched.reader, now))
                    // The watch stays awake while there is no thread.
                    hasNews = true
                }
            }
            return hasNews
        }
        for (reader, request) in stalled where reader.replace(request) {
            state.withLock { $0.readers[ObjectIdentifier(reader)]?.replaced = request }
        }
        return hasNews
    }
}
