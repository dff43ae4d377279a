internal import Glibc
internal import Synchronization

/// Counts who is inside a section, by name, and can be closed and emptied under a deadline.
///
/// It stands before a Dispatch queue on which the section is a `sync` block and the exclusive part
/// a `sync` barrier. A wait for a barrier alone could not time out; with the gate closed and
/// empty, the barrier is free at once.
final class EntryGate: Sendable {
    struct Visit {
        fileprivate let number: UInt64
    }

    // Guarded by `monitor`.
    nonisolated(unsafe) private var inside: [UInt64: String] = [:]
    // Written under `monitor`; threads that spin read it without.
    private let isClosed = Atomic<Bool>(false)
    // Written under `monitor`; threads that spin read it without.
    private let occupants = Atomic<Int>(0)
    // As long as a transaction of a few slot calls takes: waking a sleeping thread would prolong the
    // blackout.
    private let arriving = BriefSpin(microseconds: 60)
    // As long as a vCPU needs to leave the guest.
    private let draining = BriefSpin(microseconds: 60)
    // Guarded by `monitor`.
    nonisolated(unsafe) private var nextNumber: UInt64 = 0
    private let monitor = Monitor()
    // Not `monitor`: who waits there to enter must not wake and take processors when the gate is empty.
    private let emptied = Monitor()

    /// Enters, and waits while the gate is closed.
    ///
    /// - Parameter name: who enters, to be named if it never leaves.
    func enter(as name: String) -> Visit {
        Scheduling.point()
        // Not while others are to leave: they may need this processor.
        arriving.until { !isClosedNow || occupants.load(ordering: .relaxed) > 0 }
        return monitor.withLock {
            while isClosedNow { monitor.wait() }
            nextNumber += 1
            inside[nextNumber] = name
            occupants.store(inside.count, ordering: .relaxed)
            return Visit(number: nextNumber)
        }
    }

    func leave(_ visit: Visit) {
        Scheduling.point()
        let isLast = monitor.withLock {
            inside[visit.number] = nil
            occupants.store(inside.count, ordering: .releasing)
            return isClosedNow && inside.isEmpty
        }
        if isLast { emptied.withLock { emptied.wake() } }
    }

    /// Closes the gate: threads wait to enter.
    func close() {
        Scheduling.point()
        monitor.withLock { isClosed.store(true, ordering: .relaxed) }
    }

    /// Waits until the closed gate is empty.
    ///
    /// - Returns: who is still inside at the deadline, sorted; empty where all have left.
    func waitUntilEmpty(_ deadline: Deadline) -> [String] {
        draining.until {
            let left = occupants.load(ordering: .acquiring)
            return left == 0 || left >= BriefSpin.processors
        }
        emptied.withLock {
            while occupants.load(ordering: .acquiring) > 0, emptied.wait(until: deadline) {}
        }
        return monitor.withLock { inside.values.sorted() }
    }

    var isClosedNow: Bool { isClosed.load(ordering: .acquiring) }

    var arrivals: UInt64 { monitor.withLock { nextNumber } }

    /// Who is inside now and was so at the time of `arrivals`, sorted.
    func remaining(since arrivals: UInt64) -> [String] {
        monitor.withLock { inside.filter { $0.key <= arrivals }.values.sorted() }
    }

    func open() {
        Scheduling.point()
        monitor.withLock {
            isClosed.store(false, ordering: .releasing)
            monitor.wake()
        }
    }
}

/// Spins briefly on a condition before its caller sleeps for it.
///
/// Waking a thread that sleeps costs 15 to 30 µs, as long as a vCPU needs to leave the guest. A
/// blackout in which both sides sleep is twice as long as one in which they spin. At most half of
/// the processors spin at once; the others are for the threads that are waited for.
final class BriefSpin: Sendable {
    static let processors = sysconf(Int32(_SC_NPROCESSORS_ONLN))
    private let span: UInt64
    private static let most = max(1, processors / 2)

    private let spinning = Atomic<Int>(0)

    init(microseconds: UInt64) { span = microseconds * 1_000 }

    /// Returns when `isOver` or after a moment.
    @inline(__always)
    func until(_ isOver: () -> Bool) {
        if isOver() { return }
        defer { spinning.subtract(1, ordering: .relaxed) }
        guard spinning.add(1, ordering: .relaxed).newValue <= Self.most else { return }
        let end = monotonicNow() &+ span
        while !isOver(), monotonicNow() < end {}
    }
}
