internal import Dispatch

/// A moment on the monotonic clock, or never.
public struct Deadline: Hashable, Sendable {
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    package let nanoseconds: UInt64

    /// A moment that never comes.
    public static let never = Deadline(nanoseconds: .max)

    /// Whether it has come.
    var hasPassed: Bool { monotonicNow() >= nanoseconds }

    /// The earlier of the two.
    func orSooner(_ other: Deadline) -> Deadline {
        nanoseconds < other.nanoseconds ? self : other
    }

    package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// The moment `milliseconds` from now; never, where that is beyond the clock.
    public static func after(milliseconds: UInt64) -> Deadline {
        let span = milliseconds.multipliedReportingOverflow(by: 1_000_000)
        let moment = monotonicNow().addingReportingOverflow(span.partialValue)
        return span.overflow || moment.overflow
            ? .never : Deadline(nanoseconds: moment.partialValue)
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`; of a simulation's own clock within one.
func monotonicNow() -> UInt64 {
    Scheduling.current?.now() ?? DispatchTime.now().uptimeNanoseconds
}
