internal import Histogram

/// What one client or subscriber counted.
struct LoadTally {
    var commits: [String: UInt64] = [:]
    var unchanged: UInt64 = 0
    var conflicts: UInt64 = 0
    var errors: UInt64 = 0
    var firstError: String?
    var lostConnections: UInt64 = 0
    var events: UInt64 = 0
    var droppedEvents: UInt64 = 0
    var lostEvents: UInt64 = 0
    private var latencies = Histogram<UInt64>(
        highestTrackableValue: longest, numberOfSignificantValueDigits: .three)

    /// Ten minutes; what is longer counts as this.
    private static let longest: UInt64 = 600_000_000_000

    mutating func record(latency nanoseconds: UInt64) {
        latencies.record(min(nanoseconds, Self.longest))
    }

    /// Takes in what another counted.
    mutating func add(_ other: LoadTally) {
        commits.merge(other.commits, uniquingKeysWith: +)
        unchanged += other.unchanged
        conflicts += other.conflicts
        errors += other.errors
        firstError = firstError ?? other.firstError
        lostConnections += other.lostConnections
        events += other.events
        droppedEvents += other.droppedEvents
        lostEvents += other.lostEvents
        latencies.add(other.latencies)
    }

    var latency: LoadLatency {
        guard latencies.totalCount > 0 else { return LoadLatency() }
        return LoadLatency(
            p50: latencies.valueAtPercentile(50), p90: latencies.valueAtPercentile(90),
            p99: latencies.valueAtPercentile(99), p999: latencies.valueAtPercentile(99.9),
            max: latencies.maxRecorded)
    }
}
