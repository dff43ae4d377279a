internal import Histogram
internal import Memslots

/// A counter of a user or a VM.
enum Counter: String, CaseIterable, Sendable {
    case requests, errors, events, commits, unchanged, invalid, conflicts, rejected, timeouts
    case rollbacks, failures, recoveries, operations, quiesced

    /// Whether each VM has this counter too.
    var isOfVM: Bool { ![.requests, .errors, .events].contains(self) }

    var meaning: String {
        switch self {
        case .requests: "Requests received, including notifications"
        case .errors: "Requests that failed"
        case .events: "Notifications put into subscribers' queues"
        case .commits: "Transactions committed"
        case .unchanged: "Submits of the array that was already there"
        case .invalid: "Arrays refused because they break a rule"
        case .conflicts: "Submits refused because of the generation"
        case .rejected: "Submits that a hook refused"
        case .timeouts: "Submits that timed out because a vCPU or a reader did not leave"
        case .rollbacks: "Transactions that failed and were undone"
        case .failures: "Transactions whose undo failed"
        case .recoveries: "Recoveries of failed VMs"
        case .operations: "Operations of committed transactions"
        case .quiesced: "Committed transactions that held vCPUs"
        }
    }
}

/// A time of a transaction that is measured.
enum MeasuredTime: String, CaseIterable, Sendable {
    case blackout, total, quiesce, apply

    var meaning: String {
        switch self {
        case .blackout: "How long vCPUs were held"
        case .total: "How long a committed submit took"
        case .quiesce: "How long vCPUs and readers took to leave"
        case .apply: "How long the operations took"
        }
    }
}

/// Counters and histograms of one VM, or of one user.
final class Metrics: Sendable {
    private struct State {
        var counts: [Counter: UInt64] = [:]
        // Created when first needed, because most VMs of a large service have none.
        var times: [MeasuredTime: TimeHistogram] = [:]
    }

    private let state = Locked(State())

    /// The counters that are not 0.
    var counts: [Counter: UInt64] { state.withLock { $0.counts } }

    var summaries: [MeasuredTime: TimeSummary] { state.withLock { $0.times }.mapValues(\.summary) }

    func add(_ counter: Counter, _ count: Int = 1) {
        guard count > 0 else { return }
        state.withLock { $0.counts[counter, default: 0] &+= UInt64(count) }
    }

    func count(_ event: TableEvent) {
        switch event {
        case .committed(let receipt, _, _): count(receipt)
        case .retired: break
        case .rolledBack: add(.rollbacks)
        case .failed: add(.failures)
        case .recovered: add(.recoveries)
        }
    }

    private func count(_ receipt: Receipt) {
        state.withLock { state in
            state.counts[.commits, default: 0] &+= 1
            state.counts[.operations, default: 0] &+= UInt64(receipt.operations.count)
            let times = receipt.durations.nanoseconds
            state.times[.total, default: TimeHistogram()].record(times.total)
            state.times[.apply, default: TimeHistogram()].record(times.apply)
            state.times[.quiesce, default: TimeHistogram()].record(times.quiesce)
            // A transaction that holds no vCPU has no blackout.
            guard receipt.quiesced else { return }
            state.counts[.quiesced, default: 0] &+= 1
            state.times[.blackout, default: TimeHistogram()].record(times.blackout)
        }
    }
}

/// Times in nanoseconds, recorded to two digits by HdrHistogram.
struct TimeHistogram: Sendable {
    private static let longest: UInt64 = 3_600_000_000_000
    // Two digits cost 20 KB a histogram, three 150 KB. A user may have a thousand VMs.
    private var values = Histogram<UInt32>(
        highestTrackableValue: longest, numberOfSignificantValueDigits: .two)
    private var sum: UInt64 = 0

    /// Records a time. More than an hour counts as an hour.
    mutating func record(_ nanoseconds: UInt64) {
        values.record(min(nanoseconds, Self.longest))
        sum &+= nanoseconds
    }

    var summary: TimeSummary {
        guard values.totalCount > 0 else { return TimeSummary() }
        return TimeSummary(
            count: values.totalCount, sum: sum, min: values.min, max: values.max,
            percentiles: TimeSummary.ranks.map { values.valueAtPercentile($0.percentile) })
    }
}

/// The values of a histogram, in nanoseconds.
struct TimeSummary: Sendable {
    var count: UInt64 = 0
    var sum: UInt64 = 0
    var min: UInt64 = 0
    var max: UInt64 = 0
    /// The percentiles of ``ranks``; empty if there is no value.
    var percentiles: [UInt64] = []

    /// The percentiles, with their names in JSON and in OpenMetrics.
    static let ranks: [(name: StaticString, quantile: String, percentile: Double)] = [
        ("p50", "0.5", 50), ("p90", "0.9", 90), ("p99", "0.99", 99), ("p999", "0.999", 99.9),
    ]
}
