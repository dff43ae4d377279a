internal import MemslotProtocol
internal import Memslots

extension MemslotService {
    /// Returns the metrics of all users as OpenMetrics 1.0 text, for a textfile collector.
    ///
    /// The text contains the names of all users' VMs: it is for the operator, not for peers.
    public func openMetrics() -> String { Self.openMetrics(registry.withLock { $0.all }) }

    func openMetrics(of peer: Peer) -> String {
        Self.openMetrics(registry.withLock { $0.all }.filter { $0.account.user == peer.user })
    }

    private static func openMetrics(
        _ users: [(account: UserAccount, vms: [VirtualMachine])]
    ) -> String {
        var text = OpenMetricsText()
        let ofUsers = users.map { account, vms in
            (labels: [("user", "\(account.user)")], metrics: account.metrics, vms: vms)
        }
        let ofVMs = ofUsers.flatMap { labels, _, vms in
            vms.map { (labels: labels + [("vm", $0.name)], metrics: $0.metrics) }
        }
        func gauge(
            _ name: String, _ meaning: String, _ value: (UserAccount.Holdings) -> some BinaryInteger
        ) {
            let samples = zip(ofUsers, users).map { user, held in
                (user.labels, UInt64(clamping: value(held.account.holdings)))
            }
            text.family("memslots_" + name, "gauge", meaning, samples)
        }
        let counts = ofUsers.map { ($0.labels, UInt64($0.vms.count)) }
        text.family("memslots_vms", "gauge", "VMs", counts)
        gauge("slots", "Slots of all VMs") { $0.slots }
        gauge("memories", "Memory objects") { $0.memories }
        gauge("memory_bytes", "Bytes of all memory objects") { $0.memoryBytes }
        gauge("subscriptions", "Subscriptions to events") { $0.subscriptions }
        families(
            "memslots_", ofUsers.map { ($0.labels, $0.metrics) }, Counter.allCases, into: &text)
        families("memslots_vm_", ofVMs, Counter.allCases.filter(\.isOfVM), into: &text)
        return text.finish()
    }

    private static func families(
        _ prefix: String, _ all: [(labels: [(String, String)], metrics: Metrics)],
        _ counters: [Counter], into text: inout OpenMetricsText
    ) {
        let figures = all.map { ($0.labels, $0.metrics.counts, $0.metrics.summaries) }
        for counter in counters {
            text.family(
                prefix + counter.rawValue, "counter", counter.meaning, suffix: "_total",
                figures.map { ($0.0, $0.1[counter] ?? 0) })
        }
        for time in MeasuredTime.allCases {
            text.summary(
                prefix + time.rawValue + "_seconds", time.meaning,
                figures.map { ($0.0, $0.2[time] ?? TimeSummary()) })
        }
    }
}

/// Builds OpenMetrics 1.0 text, family by family.
struct OpenMetricsText {
    private var text = ""

    /// Appends the values of a counter, whose lines need the suffix `_total`, or of a gauge.
    mutating func family(
        _ name: String, _ type: String, _ meaning: String, suffix: String = "",
        _ samples: [(labels: [(String, String)], value: UInt64)]
    ) {
        guard begin(name, type, meaning, samples.isEmpty) else { return }
        for sample in samples { line(name + suffix, sample.labels, String(sample.value)) }
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
