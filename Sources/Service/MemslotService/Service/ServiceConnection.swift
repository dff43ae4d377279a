internal import Memslots

/// A connection of a peer to the service: who the peer is, and where its events go.
///
/// The transport makes one for each socket, calls `MemslotService.execute` with it, sends the lines of ``events``, and ends it with ``MemslotService/end(_:)``.
public final class ServiceConnection: Sendable {
    /// The peer.
    public let peer: Peer
    /// The notifications for the peer; `nil` where none can be sent.
    public let events: EventQueue?

    /// A connection of `peer`.
    public init(peer: Peer, events: EventQueue? = nil) {
        self.peer = peer
        self.events = events
    }
}

/// A user on one connection.
public struct Peer: Hashable, Sendable {
    /// What a peer may do.
    public enum Role: String, Hashable, Sendable {
        /// Everything.
        case full
        /// Read, and change nothing.
        case readOnly = "read-only"
    }

    /// The user. Names of VMs are per user: another user's VMs do not exist for it.
    public var user: UInt32
    /// What it may do.
    public var role: Role
    /// The connection's number, for VMs that end with it.
    public var connection: UInt64

    /// A peer; by default this process itself, with every right.
    public init(user: UInt32 = 0, role: Role = .full, connection: UInt64 = 0) {
        self.user = user
        self.role = role
        self.connection = connection
    }
}

/// The notifications that wait for one subscriber, bounded.
///
/// A subscriber that does not read loses the oldest and is told how many, so that it never holds
/// up a commit. Filled by submitting threads, emptied by the connection's own.
public final class EventQueue: Sendable {
    private struct Entry {
        /// Which feed the line is of; 0 for none in particular.
        let feed: UInt64
        var line: [UInt8]
    }

    private struct State {
        /// Entries before `first` are gone.
        var entries: [Entry] = []
        var first = 0
        /// Of all lines that wait.
        var bytes = 0
        var dropped: UInt64 = 0

        var count: Int { entries.count - first }

        mutating func dropOldest() {
            bytes -= entries[first].line.count
            entries[first].line = []
            first += 1
            dropped += 1
        }
    }

    private let state = Locked(State())
    private let limit: Int
    private let byteLimit: Int
    private let wake: @Sendable () -> Void

    /// An empty queue.
    ///
    /// - Parameters:
    ///   - limit: how many lines wait at most.
    ///   - byteLimit: how many bytes they have together at most, unless one line alone has more.
    ///   - wake: called after a line was put in, inside a transaction; must neither wait nor call
    ///     the service.
    public init(
        limit: Int, byteLimit: Int = 64 << 20, wake: @escaping @Sendable () -> Void
    ) {
        self.limit = max(limit, 1)
        self.byteLimit = byteLimit
        self.wake = wake
    }

    /// Puts a notification in, without its line's end; the oldest goes if there is no room.
    public func put(_ line: [UInt8]) { put(line, of: 0) }

    /// Takes everything out.
    ///
    /// - Returns: how many lines were lost before the first, and the lines in order.
    public func removeAll() -> (dropped: UInt64, lines: [[UInt8]]) {
        state.withLock { state in
            defer { state = State() }
            return (state.dropped, state.entries[state.first...].map(\.line))
        }
    }

    /// Puts in a line that `feed` can take back.
    func put(_ line: [UInt8], of feed: UInt64) {
        state.withLock { state in
            // A line larger than the limit still goes in: nothing after it tells what it tells.
            while state.count >= limit || state.count > 0 && state.bytes + line.count > byteLimit {
                state.dropOldest()
            }
            // Moved down only now and then, so that each line costs the same.
            if state.first >= limit {
                state.entries.removeFirst(state.first)
                state.first = 0
            }
            state.bytes += line.count
            state.entries.append(Entry(feed: feed, line: line))
        }
        wake()
    }

    /// Takes back what waits of `feed`: a snapshot that is to come holds it already.
    func discard(of feed: UInt64) {
        state.withLock { state in
            state.entries = state.entries[state.first...].filter { $0.feed != feed }
            state.first = 0
            state.bytes = state.entries.reduce(0) { $0 + $1.line.count }
        }
    }
}
