internal import Glibc
internal import Synchronization

/// Looks at a condition for a moment before its caller goes to sleep for it.
///
/// To wake a thread that sleeps costs 15 to 30 µs, which is as long as a vCPU takes to come out of
/// the guest: so a blackout in which both sides sleep is twice as long as one in which they look.
/// Only as many look at once as leave half of the processors to those that they wait for.
final class BriefSpin: Sendable {
    private let span: UInt64
    private static let most = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)) / 2)

    private let spinning = Atomic<Int>(0)

    /// Looks for `microseconds` at most.
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
