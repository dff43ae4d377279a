internal import Dispatch

/// A moment until which something waits, or never.
///
/// A transaction passes one deadline to ``VCPUHold/waitUntilHeld(by:)``. It is a type of its own
/// and not a clock's instant because a simulation has a clock of its own.
public struct Deadline: Hashable, Sendable {
    /// Nanoseconds of `CLOCK_MONOTONIC`, or of a simulation's clock; `.max` never comes.
    package let nanoseconds: UInt64

    package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// Creates the deadline at `instant`, as far from now as it is on that clock.
    public init(_ instant: ContinuousClock.Instant) {
        self = .after(ContinuousClock.now.duration(to: instant))
    }

    /// A moment that never comes.
    public static let never = Deadline(nanoseconds: .max)

    /// Returns the moment `duration` from now: now for a negative one, never for one beyond the
    /// clock's 584 years.
    public static func after(_ duration: Duration) -> Deadline {
        let moment = monotonicNow().addingReportingOverflow(duration.wholeNanoseconds)
        return moment.overflow ? .never : Deadline(nanoseconds: moment.partialValue)
    }

    /// The time that is left, zero once the moment has come; `nil` if it never comes.
    public var remaining: Duration? {
        if self == .never { return nil }
        let now = monotonicNow()
        return .nanoseconds(nanoseconds > now ? nanoseconds - now : 0)
    }

    /// A Boolean value that indicates whether the moment has come.
    public var hasPassed: Bool { monotonicNow() >= nanoseconds }

    func earlier(_ other: Deadline) -> Deadline { nanoseconds < other.nanoseconds ? self : other }
}

extension Duration {
    /// The whole nanoseconds: 0 for a negative duration, `.max` for one of over 584 years.
    package var wholeNanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        let whole = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        let sum = whole.partialValue.addingReportingOverflow(UInt64(attoseconds) / 1_000_000_000)
        return whole.overflow || sum.overflow ? .max : sum.partialValue
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`, or of a simulation's clock inside one.
func monotonicNow() -> UInt64 { Scheduling.current?.now() ?? DispatchTime.now().uptimeNanoseconds }
