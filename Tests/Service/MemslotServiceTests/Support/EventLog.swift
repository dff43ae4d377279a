import MemslotService
import Memslots

/// Stores a server's events, and waits for them.
final class EventLog: Sendable {
    private let events = Locked<[ServerEvent]>([])

    func record(_ event: ServerEvent) { events.change { $0.append(event) } }

    var all: [ServerEvent] { events.withLock { $0 } }

    /// Waits until `count` connections have ended since the server was started.
    func wait(forDisconnected count: Int) {
        wait { events in
            events.count { if case .disconnected = $0 { true } else { false } } >= count
        }
    }

    /// Waits until the events satisfy `condition`.
    func wait(until condition: ([ServerEvent]) -> Bool) {
        events.withLock(waitingWhile: { !condition($0) }) { _ in }
    }
}
