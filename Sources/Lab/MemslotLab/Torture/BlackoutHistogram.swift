import Histogram
import Memslots

/// Collects blackouts, to three digits.
struct BlackoutHistogram {
    private var histogram = Histogram<UInt64>(
        highestTrackableValue: longest, numberOfSignificantValueDigits: .three)

    /// A minute; what is longer counts as this.
    private static let longest: UInt64 = 60_000_000_000

    mutating func note(_ receipt: Receipt) {
        guard receipt.quiesced, receipt.nanoseconds.blackout > 0 else { return }
        histogram.record(min(receipt.nanoseconds.blackout, Self.longest))
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
