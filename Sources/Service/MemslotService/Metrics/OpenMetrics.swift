internal import Glibc
internal import Memslots

extension MemslotService {
    /// Returns the metrics of all users as OpenMetrics 1.0 text.
    ///
    /// The text contains the names of all users' VMs: it is for the operator, not for peers.
    public func openMetrics() -> String {
        append(registry.withLock { $0.all }, to: OpenMetricsText())
    }

    func openMetrics(of peer: Peer) -> String {
        let users = registry.withLock { $0.all }.filter { $0.account.user == peer.user }
        return append(users, to: OpenMetricsText())
    }

    // Set at the first call, which a daemon makes when it starts.
    private static let startSeconds = time(nil)

    /// Returns the metrics of all users and of the process as Prometheus's text, for the operator.
    package func textMetrics() -> String {
        var text = OpenMetricsText()
        text.isClassic = true
        func gauge(
            _ name: String, _ meaning: String, _ value: Int, _ labels: [(String, String)] = []
        ) {
            text.family("memslotd_" + name, "gauge", meaning, [(labels, value)])
        }
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        let seconds = [usage.ru_utime, usage.ru_stime].reduce(0.0) {
            $0 + Double($1.tv_sec) + Double($1.tv_usec) / 1e6
        }
        let troubles = state?.troubles.withLock { $0 } ?? StateTroubles()
        gauge("build_info", "The daemon's version", 1, [("version", Self.version)])
        gauge("start_time_seconds", "When the daemon started, since 1970", Self.startSeconds)
        gauge("resident_memory_max_bytes", "The most memory it had", usage.ru_maxrss << 10)
        text.family(
            "memslotd_cpu_seconds", "counter", "Processor time", suffix: "_total", [([], seconds)])
        gauge("threads", "Threads of connections", budgets.threads.sum)
        gauge("connections", "Connections", budgets.connections.sum)
        gauge("connections_limit", "The most connections at once", limits.connections)
        gauge("damaged_records", "Damaged records in the state directory", troubles.damaged.count)
        let unrestored = troubles.unrestored.values.reduce(0) { $0 + $1.count }
        gauge("unrestored_vms", "VMs that could not be restored", unrestored)
        return append(registry.withLock { $0.all }, to: text)
    }

    private func append(
        _ users: [(account: UserAccount, vms: [VirtualMachine])], to begun: OpenMetricsText
    ) -> String {
        var text = begun
        let ofUsers = users.map { account, vms in
            (labels: [("user", "\(account.user)")], metrics: account.metrics, vms: vms)
        }
        let ofVMs = ofUsers.flatMap { labels, _, vms in
            vms.map { (labels: labels + [("vm", $0.name)], metrics: $0.metrics) }
        }
        func gauge(_ name: String, _ meaning: String, _ budget: Budget) {
            let samples = zip(ofUsers, users).map { user, held in
                (user.labels, UInt64(clamping: budget.held(by: held.account.user)))
            }
            text.family("memslots_" + name, "gauge", meaning, samples)
        }
        let counts = ofUsers.map { ($0.labels, UInt64($0.vms.count)) }
        text.family("memslots_vms", "gauge", "VMs", counts)
        let failed = ofUsers.map { ($0.labels, $0.vms.count { $0.table.failure != nil }) }
        text.family("memslots_failed_vms", "gauge", "VMs that need a recovery", failed)
        gauge("slots", "Slots of all VMs", budgets.slots)
        gauge("memories", "Memory objects", budgets.memories)
        gauge("memory_bytes", "Bytes of all memory objects", budgets.memoryBytes)
        gauge("subscriptions", "Subscriptions to events", budgets.subscriptions)
        families(
            "memslots_", ofUsers.map { ($0.labels, $0.metrics) }, Counter.allCases, into: &text)
        families("memslots_vm_", ofVMs, Counter.allCases.filter(\.isOfVM), into: &text)
        return text.finish()
    }

    private func families(
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
    /// Prometheus's older format: a counter's family has its lines' name. There are no units.
    var isClassic = false
    private var text = ""

    /// Appends the values of a counter, whose lines need the suffix `_total`, or of a gauge.
    mutating func family(
        _ name: String, _ type: String, _ meaning: String, suffix: String = "",
        _ samples: [(labels: [(String, String)], value: some CustomStringConvertible)]
    ) {
        let family = isClassic ? name + suffix : name
        guard begin(family, type, meaning, samples.isEmpty) else { return }
        for sample in samples { line(name + suffix, sample.labels, "\(sample.value)") }
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

    consuming func finish() -> String { isClassic ? text : text + "# EOF\n" }

    private mutating func begin(
        _ name: String, _ type: String, _ meaning: String, _ isEmpty: Bool, unit: String? = nil
    ) -> Bool {
        guard !isEmpty else { return false }
        text += "# TYPE \(name) \(type)\n"
        if let unit, !isClassic { text += "# UNIT \(name) \(unit)\n" }
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
        let escapes: [Unicode.Scalar: String] = ["\\": "\\\\", "\"": "\\\"", "\n": "\\n"]
        return label.unicodeScalars.map { escapes[$0] ?? String($0) }.joined()
    }
}
