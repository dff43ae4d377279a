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
    nonisolated(unsafe) private var isExclusive = false
    // Guarded by `monitor`.
    nonisolated(unsafe) private var nextNumber: UInt64 = 0
    private let monitor = Monitor()

    /// Enters, and waits while the gate is closed.
    ///
    /// - Parameters:
    ///   - name: who enters, to be told if it never leaves.
    ///   - passingClosed: enters also while the gate is being emptied, though not in the
    ///     exclusive part: for one whose own leaving the emptying waits for.
    func enter(as name: String, passingClosed: Bool = false) -> Stay {
        monitor.withLock {
            while isClosed && (isExclusive || !passingClosed) { monitor.wait() }
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

    /// Waits until nobody is inside the closed gate; then it is exclusive.
    ///
    /// - Returns: who is still inside at the deadline, sorted; empty where all have left.
    func waitUntilEmpty(_ deadline: Deadline) -> [String] {
        monitor.withLock {
            while !inside.isEmpty {
                guard monitor.wait(until: deadline) else { break }
            }
            isExclusive = inside.isEmpty
            return inside.values.sorted()
        }
    }

    /// Lets everybody in again.
    func open() {
        monitor.withLock {
            isClosed = false
            isExclusive = false
            monitor.wake()
        }
    }
}
