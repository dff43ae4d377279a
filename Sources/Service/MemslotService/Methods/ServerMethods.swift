internal import Glibc
internal import MemslotKVM
internal import MemslotProtocol
internal import MemslotSimulator
internal import Memslots

extension MemslotService {
    /// The version of this package, as `server.info` and `--version` show it.
    public static let version = "0.1.0"

    func serverInfo(_ peer: Peer) -> Reply {
        let kvm: ServerInfo.Backend
        do throws(KVMError) {
            kvm = .available(try backends.host().capabilities)
        } catch {
            kvm = .unavailable(error.description)
        }
        return .serverInfo(
            ServerInfo(
                version: Self.version, pid: getpid(),
                simulated: .available(SimulatedBackend().capabilities), kvm: kvm,
                limits: limits.all, state: state?.report(for: peer)))
    }

    func getMetrics(_ peer: Peer) -> Reply {
        let (account, vms) = registry.withLock { ($0.account(of: peer.user), $0.all(of: peer)) }
        let holdings = account.holdings
        return .metrics(
            MetricsMessage(
                user: account.metrics.figures(Counter.allCases),
                gauges: MetricsMessage.Gauges(
                    vms: vms.count, slots: holdings.slots, memories: holdings.memories,
                    memoryBytes: holdings.memoryBytes, subscriptions: holdings.subscriptions),
                vms: vms.map {
                    $0.metrics.figures(Counter.allCases.filter(\.isOfVM), vm: $0.name)
                },
                openMetrics: openMetrics(of: peer)))
    }
}

extension Metrics {
    fileprivate func figures(
        _ counters: [Counter], vm: String? = nil
    ) -> MetricsMessage.Figures {
        MetricsMessage.Figures(
            vm: vm,
            counters: counts.filter { counters.contains($0.counter) }
                .map { NamedValue($0.counter.rawValue, $0.value) },
            histograms: summaries.map { time, summary in
                MetricsMessage.Histogram(
                    name: time.rawValue, count: summary.count, sum: summary.sum,
                    min: summary.min, max: summary.max,
                    percentiles: zip(TimeSummary.ranks, summary.percentiles)
                        .map { NamedValue($0.name.description, $1) })
            })
    }
}
