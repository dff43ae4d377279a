import Histogram

/// A distribution of times in nanoseconds; all 0 if there are none.
package struct TimeDistribution: Hashable, Sendable {
    package var count: UInt64 = 0
    package var mean: UInt64 = 0
    package var p50: UInt64 = 0
    package var p90: UInt64 = 0
    package var p99: UInt64 = 0
    package var p999: UInt64 = 0
    package var max: UInt64 = 0

    package var ranks: [(name: String, value: UInt64)] {
        [("p50", p50), ("p90", p90), ("p99", p99), ("p999", p999), ("max", max)]
    }
}

struct TimeHistogram {
    private var histogram = Histogram<UInt64>(
        highestTrackableValue: longest, numberOfSignificantValueDigits: .three)

    /// Ten minutes; longer times are counted as this.
    private static let longest: UInt64 = 600_000_000_000

    mutating func record(_ nanoseconds: UInt64) {
        histogram.record(min(nanoseconds, Self.longest))
    }

    mutating func add(_ other: TimeHistogram) { histogram.add(other.histogram) }

    var distribution: TimeDistribution {
        guard histogram.totalCount > 0 else { return TimeDistribution() }
        return TimeDistribution(
            count: histogram.totalCount, mean: UInt64(histogram.mean),
            p50: histogram.valueAtPercentile(50), p90: histogram.valueAtPercentile(90),
            p99: histogram.valueAtPercentile(99), p999: histogram.valueAtPercentile(99.9),
            max: histogram.maxRecorded)
    }
}
