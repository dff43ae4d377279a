public import Glibc
internal import MemslotProtocol
internal import Memslots

/// A connection of a peer to the service: who the peer is, and where its events go.
///
/// The transport makes one for each socket, calls `MemslotService.respond(to:on:descriptors:)` with
/// it, sends the lines of ``events``, and ends it with ``MemslotService/end(_:)``.
public final class ServiceConnection: Sendable {
    /// The peer.
    public let peer: Peer
    /// The notifications for the peer; `nil` where none can be sent.
    public let events: EventQueue?

    /// A connection of `peer`.
    public init(peer: Peer, events: EventQueue? = nil) { (self.peer, self.events) = (peer, events) }
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

    /// A peer; by default the user of this process, with every right.
    public init(user: UInt32 = getuid(), role: Role = .full, connection: UInt64 = 0) {
        (self.user, self.role, self.connection) = (user, role, connection)
    }
}

/// The notifications that wait for one subscriber.
///
/// The queue is bounded, so a subscriber that does not read never delays a commit. The oldest
/// notifications are dropped, and it is notified how many. Submitting threads fill the queue, the
/// connection's threads empty it.
public final class EventQueue: Sendable {
    private struct Entry {
        /// The feed of the line; 0 if it is of none.
        let feed: UInt64
        var line: [UInt8]
    }

    private struct State {
        /// Entries before `first` are removed.
        var entries: [Entry] = []
        var first = 0
        /// The bytes of all lines that wait.
        var bytes = 0
        var dropped: UInt64 = 0

        var count: Int { entries.count - first }
        var cost: Int { EventQueue.cost(bytes: bytes, lines: count) }
        mutating func recordDrop() { dropped += 1 }

        /// Drops a line, and returns its cost.
        mutating func dropOldest() -> Int {
            let count = entries[first].line.count
            bytes -= count
            entries[first].line = []
            first += 1
            recordDrop()
            return EventQueue.cost(bytes: count, lines: 1)
        }
    }

    private let state = Locked(State())
    private let limit, byteLimit: Int
    private let wake: @Sendable () -> Void
    /// What the lines are charged to, and whose they are; `nil` for nothing.
    private let budget: (budget: Budget, user: UInt32)?

    /// An empty queue.
    ///
    /// - Parameters:
    ///   - limit: the most lines that wait.
    ///   - byteLimit: the most bytes that they have together, unless a single line has more.
    ///   - wake: called after a line was appended, inside a transaction; must neither wait nor
    ///     call the service.
    public convenience init(
        limit: Int, byteLimit: Int = 64 << 20, wake: @escaping @Sendable () -> Void
    ) {
        self.init(limit: limit, byteLimit: byteLimit, chargedTo: nil, wake: wake)
    }

    init(
        limit: Int, byteLimit: Int = 64 << 20, chargedTo budget: (budget: Budget, user: UInt32)?,
        wake: @escaping @Sendable () -> Void
    ) {
        self.limit = max(limit, 1)
        (self.byteLimit, self.budget, self.wake) = (byteLimit, budget, wake)
    }

    deinit { release(state.withLock { $0.cost }) }

    /// Appends a notification, without its line's end. The oldest is dropped if there is no room.
    public func enqueue(_ line: [UInt8]) { enqueue(line, of: 0) }

    /// Removes all lines.
    ///
    /// - Returns: how many lines were dropped before the first, and the lines in order.
    public func removeAll() -> (dropped: UInt64, lines: [[UInt8]]) {
        let (dropped, lines) = removeAllCharged()
        release(Self.cost(bytes: lines.reduce(0) { $0 + $1.count }, lines: lines.count))
        return (dropped, lines)
    }

    /// As ``removeAll()``, but each line's ``cost(bytes:lines:)`` is the caller's to release.
    func removeAllCharged() -> (dropped: UInt64, lines: [[UInt8]]) {
        state.withLock { state in
            defer { state = State() }
            return (state.dropped, state.entries[state.first...].map(\.line))
        }
    }

    /// What lines are charged with, until they are sent: they are copied to be sent together.
    static func cost(bytes: Int, lines: Int) -> Int { 2 * bytes + 128 * lines }

    private func release(_ cost: Int) {
        if cost > 0, let (budget, user) = budget { budget.release(cost, of: user) }
    }

    private func charge(_ cost: Int) -> Bool {
        guard let (budget, user) = budget else { return true }
        do throws(ProtocolError) { try budget.charge(cost, to: user) } catch { return false }
        return true
    }

    /// Appends a line that `feed` can discard.
    func enqueue(_ line: [UInt8], of feed: UInt64) {
        state.withLock { state in
            // A line larger than the limit is still appended: no later line replaces it.
            while state.count >= limit || state.count > 0 && state.bytes + line.count > byteLimit {
                release(state.dropOldest())
            }
            while !charge(Self.cost(bytes: line.count, lines: 1)) {
                guard state.count > 0 else { return state.recordDrop() }
                release(state.dropOldest())
            }
            // Moved only sometimes, so that each line costs the same.
            if state.first >= limit {
                state.entries.removeFirst(state.first)
                state.first = 0
            }
            state.bytes += line.count
            state.entries.append(Entry(feed: feed, line: line))
        }
        wake()
    }

    /// Discards the lines of `feed`: a snapshot that follows contains what they report.
    func discard(of feed: UInt64) {
        state.withLock { state in
            let before = state.cost
            defer { release(before - state.cost) }
            state.entries = state.entries[state.first...].filter { $0.feed != feed }
            state.first = 0
            state.bytes = state.entries.reduce(0) { $0 + $1.line.count }
        }
    }
}
