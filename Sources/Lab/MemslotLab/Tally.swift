import Histogram

/// Counts by name.
package struct Tally<Name: CaseIterable & Hashable & Sendable>: Hashable, Sendable {
    private var counts: [Name: UInt64] = [:]

    package init() {}

    package subscript(name: Name) -> UInt64 {
        get { counts[name, default: 0] }
        set { counts[name] = newValue }
    }

    package static func += (left: inout Self, right: Self) {
        left.counts.merge(right.counts, uniquingKeysWith: +)
    }
}

extension Tally where Name: RawRepresentable<String> {
    /// The counts of `names`, in order; by default of all.
    package func named(_ names: [Name] = Array(Name.allCases)) -> [(name: String, value: UInt64)] {
        names.map { ($0.rawValue, self[$0]) }
    }
}

/// A distribution of times in nanoseconds.
package struct TimeHistogram: Sendable {
    private var histogram = Histogram<UInt64>(
        highestTrackableValue: longest, numberOfSignificantValueDigits: .three)

    /// Ten minutes; longer times are counted as this.
    private static let longest: UInt64 = 600_000_000_000

    package var count: UInt64 { histogram.totalCount }

    /// The mean; 0 if there are no times, as is every rank.
    package var mean: UInt64 { count == 0 ? 0 : UInt64(histogram.mean) }

    package var ranks: [(name: String, value: UInt64)] {
        let percentiles = [("p50", 50), ("p90", 90), ("p99", 99), ("p999", 99.9)]
        return percentiles.map { ($0, count == 0 ? 0 : histogram.valueAtPercentile($1)) }
            + [("max", count == 0 ? 0 : histogram.maxRecorded)]
    }

    mutating func record(_ nanoseconds: UInt64) { histogram.record(min(nanoseconds, Self.longest)) }

    mutating func add(_ other: TimeHistogram) { histogram.add(other.histogram) }
}
