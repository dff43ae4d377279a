import Foundation
import MemslotService
import Memslots

/// Keeps what the server tells, to wait for it.
final class EventLog: ServiceObserver, @unchecked Sendable {
    // Unchecked: everything is guarded by the condition.
    private let condition = NSCondition()
    private var told: [ServerEvent] = []

    func note(_ event: TableEvent, vm: String, user: UInt32) {}

    func note(_ event: ServerEvent) {
        condition.lock()
        told.append(event)
        condition.broadcast()
        condition.unlock()
    }

    var all: [ServerEvent] {
        condition.lock()
        defer { condition.unlock() }
        return told
    }

    /// Waits until so many connections have ended, counted from the server's beginning.
    func wait(forDisconnected count: Int) {
        wait { told in
            told.count { if case .disconnected = $0 { true } else { false } } >= count
        }
    }

    func wait(until isMet: ([ServerEvent]) -> Bool) {
        condition.lock()
        while !isMet(told) { condition.wait() }
        condition.unlock()
    }
}
