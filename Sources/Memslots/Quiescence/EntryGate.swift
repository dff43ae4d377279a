/// Counts who is inside a section, by name, and can be closed and emptied under a deadline.
///
/// It stands before a Dispatch queue on which the section is a `sync` block and the exclusive part
/// a `sync` barrier. A barrier alone could not be given up when somebody never leaves; with the
/// gate closed and nobody inside, the barrier is free at once.
final class EntryGate: Sendable {
    /// One stay inside.
    struct Stay {
        fileprivate let number: UInt64
    }

    // Guarded by `monitor`.
    nonisolated(unsafe) private var inside: [UInt64: String] = [:]
    // Guarded by `monitor`.
    nonisolated(unsafe) private var isClosed = false
    // Guarded by `monitor`.
    nonisolated(unsafe) private var nextNumber: UInt64 = 0
    private let monitor = Monitor()

    /// Enters, and waits while the gate is closed.
    ///
    /// - Parameter name: who enters, to be told if it never leaves.
    func enter(as name: String) -> Stay {
        monitor.withLock {
            while isClosed { monitor.wait() }
            nextNumber += 1
            inside[nextNumber] = name
            return Stay(number: nextNumber)
        }
    }

    /// Ends a stay.
    func leave(_ stay: Stay) {
        monitor.withLock {
            inside[stay.number] = nil
            if isClosed && inside.isEmpty { monitor.wake() }
        }
    }

    /// Lets nobody in any more.
    func close() {
        monitor.withLock { isClosed = true }
    }

    /// Waits until nobody is inside the closed gate.
    ///
    /// - Returns: who is still inside at the deadline, sorted; empty where all have left.
    func waitUntilEmpty(_ deadline: Deadline) -> [String] {
        monitor.withLock {
            while !inside.isEmpty {
                guard monitor.wait(until: deadline) else { break }
            }
            return inside.values.sorted()
        }
    }

    /// Whether nobody is let in now.
    var isClosedNow: Bool { monitor.withLock { isClosed } }

    /// How many have entered so far.
    var arrivals: UInt64 { monitor.withLock { nextNumber } }

    /// Who is inside now and was so at the time of `arrivals`, sorted.
    func staying(since arrivals: UInt64) -> [String] {
        monitor.withLock { inside.filter { $0.key <= arrivals }.values.sorted() }
    }

    /// Lets everybody in again.
    func open() {
        monitor.withLock {
            isClosed = false
            monitor.wake()
        }
    }
}
