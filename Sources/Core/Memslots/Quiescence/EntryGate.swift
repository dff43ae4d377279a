internal import Synchronization

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
    // Written under `monitor`; looked at beside it by those that spin.
    private let isClosed = Atomic<Bool>(false)
    // Written under `monitor`; looked at beside it by those that spin.
    private let occupants = Atomic<Int>(0)
    // As long as a transaction of a few slot calls: who sleeps must be woken within the blackout.
    private let arriving = BriefSpin(microseconds: 200)
    // As long as a vCPU takes to come out of the guest.
    private let draining = BriefSpin(microseconds: 60)
    // Guarded by `monitor`.
    nonisolated(unsafe) private var nextNumber: UInt64 = 0
    private let monitor = Monitor()

    /// Enters, and waits while the gate is closed.
    ///
    /// - Parameter name: who enters, to be told if it never leaves.
    func enter(as name: String) -> Stay {
        Scheduling.point()
        arriving.until { !isClosed.load(ordering: .acquiring) }
        return monitor.withLock {
            while isClosedNow { monitor.wait() }
            nextNumber += 1
            inside[nextNumber] = name
            occupants.store(inside.count, ordering: .relaxed)
            return Stay(number: nextNumber)
        }
    }

    /// Ends a stay.
    func leave(_ stay: Stay) {
        Scheduling.point()
        monitor.withLock {
            inside[stay.number] = nil
            occupants.store(inside.count, ordering: .releasing)
            if isClosedNow && inside.isEmpty { monitor.wake() }
        }
    }

    /// Lets nobody in any more.
    func close() {
        Scheduling.point()
        monitor.withLock { isClosed.store(true, ordering: .relaxed) }
    }

    /// Waits until nobody is inside the closed gate.
    ///
    /// - Returns: who is still inside at the deadline, sorted; empty where all have left.
    func waitUntilEmpty(_ deadline: Deadline) -> [String] {
        draining.until { occupants.load(ordering: .acquiring) == 0 }
        return monitor.withLock {
            while !inside.isEmpty {
                guard monitor.wait(until: deadline) else { break }
            }
            return inside.values.sorted()
        }
    }

    /// Whether nobody is let in now.
    var isClosedNow: Bool { isClosed.load(ordering: .acquiring) }

    /// How many have entered so far.
    var arrivals: UInt64 { monitor.withLock { nextNumber } }

    /// Who is inside now and was so at the time of `arrivals`, sorted.
    func staying(since arrivals: UInt64) -> [String] {
        monitor.withLock { inside.filter { $0.key <= arrivals }.values.sorted() }
    }

    /// Lets everybody in again.
    func open() {
        Scheduling.point()
        monitor.withLock {
            isClosed.store(false, ordering: .releasing)
            monitor.wake()
        }
    }
}
