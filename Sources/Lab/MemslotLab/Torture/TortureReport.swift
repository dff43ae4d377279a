import Histogram
import Memslots

/// What a torture found.
package struct TortureReport: Hashable, Sendable {
    /// How many transactions were made.
    package var transactions = 0
    /// How many of them the guest saw something of.
    package var transactionsHit = 0
    /// How many slot calls they took.
    package var slotCalls: UInt64 = 0
    /// How many rounds the vCPUs made, all together.
    package var rounds: UInt64 = 0
    /// Exits for an address that every array has memory at. On a simulated VM: touches of one.
    package var spuriousExits: UInt64 = 0
    /// Runs that ended because KVM could not go on. On a simulated VM: looks at the table that
    /// saw neither the old array nor the new.
    package var emulationFailures: UInt64 = 0
    /// Increments of the guest that are not in its memory; for a guest that reads, what is missing
    /// in its sum.
    package var lostIncrements: UInt64 = 0
    /// Pages that the guest had certainly written, and that neither a log nor a receipt told.
    package var lostDirtyPages: UInt64 = 0
    /// Pages that had to be told.
    package var dirtyPages: UInt64 = 0
    /// How long vCPUs were held out.
    package var blackout = BlackoutTimes()
    /// The whole torture, in nanoseconds.
    package var nanoseconds: UInt64 = 0

    /// Whether nothing was lost and nothing seen.
    package var isClean: Bool {
        spuriousExits == 0 && emulationFailures == 0 && lostIncrements == 0 && lostDirtyPages == 0
    }
}

/// The blackouts of a torture's transactions, in nanoseconds; all 0 where there was none.
package struct BlackoutTimes: Hashable, Sendable {
    /// How many transactions held vCPUs out.
    package var count: UInt64 = 0
    /// The mean.
    package var mean: UInt64 = 0
    /// Half of them were no longer.
    package var p50: UInt64 = 0
    /// Nine of ten were no longer.
    package var p90: UInt64 = 0
    /// 99 of 100 were no longer.
    package var p99: UInt64 = 0
    /// 999 of 1,000 were no longer.
    package var p999: UInt64 = 0
    /// The longest.
    package var max: UInt64 = 0
}

/// Collects blackouts, to three digits.
struct BlackoutHistogram {
    private var histogram = Histogram<UInt64>(
        highestTrackableValue: longest, numberOfSignificantValueDigits: .three)

    /// A minute; what is longer counts as this.
    private static let longest: UInt64 = 60_000_000_000

    mutating func note(_ receipt: Receipt) {
        guard receipt.quiesced, receipt.durations.nanoseconds.blackout > 0 else { return }
        histogram.record(min(receipt.durations.nanoseconds.blackout, Self.longest))
    }

    var times: BlackoutTimes {
        guard histogram.totalCount > 0 else { return BlackoutTimes() }
        return BlackoutTimes(
            count: histogram.totalCount, mean: UInt64(histogram.mean),
            p50: histogram.valueAtPercentile(50), p90: histogram.valueAtPercentile(90),
            p99: histogram.valueAtPercentile(99), p999: histogram.valueAtPercentile(99.9),
            max: histogram.maxRecorded)
    }
}
