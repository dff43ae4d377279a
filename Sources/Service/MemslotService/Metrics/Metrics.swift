internal import Histogram
internal import Memslots

/// What is counted.
enum Counter: String, CaseIterable, Sendable {
    case requests
    case errors
    case events
    case commits
    case unchanged
    case invalid
    case conflicts
    case rejected
    case timeouts
    case rollbacks
    case failures
    case recoveries
    case operations
    case quiesced

    /// Whether it is counted for each VM too.
    var isOfVM: Bool {
        switch self {
        case .requests, .errors, .events: false
        default: true
        }
    }

    /// What it counts, for a person.
    var meaning: String {
        switch self {
        case .requests: "Requests taken, notifications too"
        case .errors: "Requests answered by an error"
        case .events: "Notifications put into subscribers' queues"
        case .commits: "Transactions committed"
        case .unchanged: "Submits of the array that was there already"
        case .invalid: "Arrays refused because they break rules"
        case .conflicts: "Submits refused because of the generation"
        case .rejected: "Submits that a hook refused"
        case .timeouts: "Submits given up because somebody did not leave in time"
        case .rollbacks: "Transactions that failed and were undone"
        case .failures: "Transactions of which the undo failed"
        case .recoveries: "Failed VMs that were recovered"
        case .operations: "Slot calls of committed transactions"
        case .quiesced: "Committed transactions that held vCPUs out"
        }
    }
}

/// Which time of a transaction is measured.
enum MeasuredTime: String, CaseIterable, Sendable {
    case blackout
    case total
    case quiesce
    case apply

    /// What it is, for a person.
    var meaning: String {
        switch self {
        case .blackout: "How long vCPUs were held out of the guest"
        case .total: "How long a committed submit took"
        case .quiesce: "How long vCPUs and readers took to leave"
        case .apply: "How long the slot calls took"
        }
    }
}

/// Counters and histograms of one VM, or of one user.
final class Metrics: Sendable {
    private struct State {
        var counts = [UInt64](repeating: 0, count: Counter.allCases.count)
        // Made at the first commit: a VM that has none costs nothing.
        var times: [TimeHistogram]?
    }

    private let state = Locked(State())

    /// The counters in the order of their cases.
    var counts: [(counter: Counter, value: UInt64)] {
        let counts = state.withLock { $0.counts }
        return Array(zip(Counter.allCases, counts)).map { (counter: $0.0, value: $0.1) }
    }

    /// The times in the order of their cases.
    var summaries: [(time: MeasuredTime, summary: TimeSummary)] {
        let times = state.withLock { $0.times } ?? []
        return MeasuredTime.allCases.enumerated().map { index, time in
            (time, index < times.count ? times[index].summary : TimeSummary())
        }
    }

    /// Counts `count` more.
    func add(_ counter: Counter, _ count: Int = 1) {
        guard count > 0 else { return }
        state.withLock { $0.counts[counter.index] &+= UInt64(count) }
    }

    /// Counts what a table says.
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
            state.counts[Counter.commits.index] &+= 1
            state.counts[Counter.operations.index] &+= UInt64(receipt.operations.count)
            if receipt.quiesced { state.counts[Counter.quiesced.index] &+= 1 }
            if state.times == nil {
                state.times = MeasuredTime.allCases.map { _ in TimeHistogram() }
            }
            let times = receipt.durations.nanoseconds
            state.times?[MeasuredTime.total.index].record(times.total)
            state.times?[MeasuredTime.apply.index].record(times.apply)
            state.times?[MeasuredTime.quiesce.index].record(times.quiesce)
            // Nobody was kept waiting by a transaction that ran beside the guest.
            if receipt.quiesced {
                state.times?[MeasuredTime.blackout.index].record(times.blackout)
            }
        }
    }
}

extension CaseIterable where Self: Equatable, AllCases == [Self] {
    /// Where the case stands among all.
    fileprivate var index: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}
