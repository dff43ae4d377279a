internal import MemslotProtocol
internal import Memslots

extension MemslotService {
    /// All users' figures as text of OpenMetrics 1.0, for a textfile collector.
    ///
    /// It names VMs of every user: for the operator, not for peers.
    public func openMetrics() -> String { Self.openMetrics(registry.withLock { $0.all }) }

    /// The figures of one user.
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
        text.gauge("memslots_vms", "VMs there are", samples.map { ($0.labels, $0.count) })
        text.gauge(
            "memslots_slots", "Slots of all VMs",
            samples.map { ($0.labels, UInt64(clamping: $0.holdings.slots)) })
        text.gauge(
            "memslots_memories", "Memory objects there are",
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
