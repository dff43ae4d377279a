internal import MemslotProtocol
internal import Memslots

extension MemslotService {
    /// Returns the metrics of all users as OpenMetrics 1.0 text, for a textfile collector.
    ///
    /// The text contains the names of all users' VMs: it is for the operator, not for peers.
    public func openMetrics() -> String { Self.openMetrics(registry.withLock { $0.all }) }

    /// Returns the metrics of one user.
    func openMetrics(of peer: Peer) -> String {
        Self.openMetrics(registry.withLock { $0.all }.filter { $0.account.user == peer.user })
    }

    private static func openMetrics(
        _ users: [(account: UserAccount, vms: [VirtualMachine])]
    ) -> String {
        var text = OpenMetricsText()
        let ofUsers = users.map { user in
            (labels: [("user", String(user.account.user))], metrics: user.account.metrics)
        }
        let ofVMs = users.flatMap { user in
            user.vms.map { vm in
                (
                    labels: [("user", String(user.account.user)), ("vm", vm.name)],
                    metrics: vm.metrics
                )
            }
        }
        gauges(users, into: &text)
        families("memslots_", ofUsers, Counter.allCases, into: &text)
        families("memslots_vm_", ofVMs, Counter.allCases.filter(\.isOfVM), into: &text)
        return text.finish()
    }

    private static func gauges(
        _ users: [(account: UserAccount, vms: [VirtualMachine])],
        into text: inout OpenMetricsText
    ) {
        let samples = users.map { user in
            (
                labels: [("user", String(user.account.user))], count: UInt64(user.vms.count),
                holdings: user.account.holdings
            )
        }
        text.gauge("memslots_vms", "VMs", samples.map { ($0.labels, $0.count) })
        text.gauge(
            "memslots_slots", "Slots of all VMs",
            samples.map { ($0.labels, UInt64(clamping: $0.holdings.slots)) })
        text.gauge(
            "memslots_memories", "Memory objects",
            samples.map { ($0.labels, UInt64(clamping: $0.holdings.memories)) })
        text.gauge(
            "memslots_memory_bytes", "Bytes of all memory objects",
            samples.map { ($0.labels, $0.holdings.memoryBytes) })
        text.gauge(
            "memslots_subscriptions", "Subscriptions to events",
            samples.map { ($0.labels, UInt64(clamping: $0.holdings.subscriptions)) })
    }

    private static func families(
        _ prefix: String, _ all: [(labels: [(String, String)], metrics: Metrics)],
        _ counters: [Counter], into text: inout OpenMetricsText
    ) {
        let figures = all.map { ($0.labels, $0.metrics.counts, $0.metrics.summaries) }
        for counter in counters {
            text.counter(
                prefix + counter.rawValue, counter.meaning,
                figures.map { labels, counts, _ in
                    (labels, counts.first { $0.counter == counter }?.value ?? 0)
                })
        }
        for time in MeasuredTime.allCases {
            text.summary(
                prefix + time.rawValue + "_seconds", time.meaning,
                figures.map { labels, _, summaries in
                    (labels, summaries.first { $0.time == time }?.summary ?? TimeSummary())
                })
        }
    }
}

/// Builds OpenMetrics 1.0 text, family by family.
struct OpenMetricsText {
    private var text = ""

    /// A value of a family, with its labels.
    typealias Sample = (labels: [(String, String)], value: UInt64)

    /// Appends a counter. `_total` is added to its name.
    mutating func counter(_ name: String, _ meaning: String, _ samples: [Sample]) {
        guard begin(name, "counter", meaning, samples.isEmpty) else { return }
        for sample in samples { line(name + "_total", sample.labels, String(sample.value)) }
    }

    /// Appends a gauge.
    mutating func gauge(_ name: String, _ meaning: String, _ samples: [Sample]) {
        guard begin(name, "gauge", meaning, samples.isEmpty) else { return }
        for sample in samples { line(name, sample.labels, String(sample.value)) }
    }

    /// Appends a summary of times. The name must end in `_seconds`.
    mutating func summary(
        _ name: String, _ meaning: String,
        _ samples: [(labels: [(String, String)], value: TimeSummary)]
    ) {
        guard begin(name, "summary", meaning, samples.isEmpty, unit: "seconds") else { return }
        for (labels, value) in samples {
            for (rank, nanoseconds) in zip(TimeSummary.ranks, value.percentiles) {
                line(name, labels + [("quantile", rank.quantile)], seconds(nanoseconds))
            }
            line(name + "_count", labels, String(value.count))
            line(name + "_sum", labels, seconds(value.sum))
        }
    }

    /// Returns the text with its end.
    consuming func finish() -> String { text + "# EOF\n" }

    private mutating func begin(
        _ name: String, _ type: String, _ meaning: String, _ isEmpty: Bool, unit: String? = nil
    ) -> Bool {
        guard !isEmpty else { return false }
        text += "# TYPE \(name) \(type)\n"
        if let unit { text += "# UNIT \(name) \(unit)\n" }
        text += "# HELP \(name) \(meaning).\n"
        return true
    }

    private mutating func line(_ name: String, _ labels: [(String, String)], _ value: String) {
        text += name
        if !labels.isEmpty {
            let pairs = labels.map { "\($0.0)=\"\(Self.escaped($0.1))\"" }
            text += "{\(pairs.joined(separator: ","))}"
        }
        text += " \(value)\n"
    }

    private func seconds(_ nanoseconds: UInt64) -> String {
        (Double(nanoseconds) / 1e9).description
    }

    private static func escaped(_ label: String) -> String {
        var text = ""
        for scalar in label.unicodeScalars {
            switch scalar {
            case "\\": text += "\\\\"
            case "\"": text += "\\\""
            case "\n": text += "\\n"
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}
