internal import Synchronization

/// The notifications that wait for one subscriber, bounded.
///
/// A subscriber that does not read loses the oldest and is told how many, so that it never holds
/// up a commit. Filled by submitting threads, emptied by the connection's own.
public final class EventQueue: Sendable {
    private struct State {
        var lines: [[UInt8]] = []
        var dropped: UInt64 = 0
    }

    private let state = Mutex(State())
    private let limit: Int
    private let wake: @Sendable () -> Void

    /// An empty queue.
    ///
    /// - Parameters:
    ///   - limit: how many lines wait at most.
    ///   - wake: called after a line was put in; must not wait.
    public init(limit: Int, wake: @escaping @Sendable () -> Void) {
        self.limit = limit
        self.wake = wake
    }

    /// Puts a notification in, without its line's end; the oldest goes if there is no room.
    public func put(_ line: [UInt8]) {
        state.withLock { state in
            if state.lines.count >= limit {
                state.lines.removeFirst()
                state.dropped += 1
            }
            state.lines.append(line)
        }
        wake()
    }

    /// Takes everything out.
    ///
    /// - Returns: how many lines were lost before the first, and the lines in order.
    public func takeAll() -> (dropped: UInt64, lines: [[UInt8]]) {
        state.withLock { state in
            defer { state = State() }
            return (state.dropped, state.lines)
        }
    }
}
