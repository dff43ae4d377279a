internal import Histogram

/// Times in nanoseconds, by HdrHistogram: to two digits, whatever the magnitude.
struct TimeHistogram: Sendable {
    private static let longest: UInt64 = 3_600_000_000_000
    // Two digits cost 20 KB a histogram, three would cost 150: a user may have a thousand VMs.
    private var values = Histogram<UInt32>(
        highestTrackableValue: longest, numberOfSignificantValueDigits: .two)
    private var sum: UInt64 = 0

    /// Records one; more than an hour counts as an hour.
    mutating func record(_ nanoseconds: UInt64) {
        values.record(min(nanoseconds, Self.longest))
        sum &+= nanoseconds
    }

    /// The figures that are told.
    var summary: TimeSummary {
        guard values.totalCount > 0 else { return TimeSummary() }
        return TimeSummary(
            count: values.totalCount, sum: sum, min: values.min, max: values.max,
            percentiles: TimeSummary.ranks.map { values.valueAtPercentile($0.percentile) })
    }
}

/// What is told of a histogram, in nanoseconds.
struct TimeSummary: Sendable {
    var count: UInt64 = 0
    var sum: UInt64 = 0
    var min: UInt64 = 0
    var max: UInt64 = 0
    /// As ``ranks`` has them; none without a value.
    var percentiles: [UInt64] = []

    /// Which percentiles are told, by their names in JSON and in OpenMetrics.
    static let ranks: [(name: StaticString, quantile: String, percentile: Double)] = [
        ("p50", "0.5", 50), ("p90", "0.9", 90), ("p99", "0.99", 99), ("p999", "0.999", 99.9),
    ]
}
