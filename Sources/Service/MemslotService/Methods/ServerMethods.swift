internal import Glibc
internal import MemslotKVM
internal import MemslotProtocol
internal import MemslotSimulator
internal import Memslots

extension MemslotService {
    /// The version of this package: `server.info`, `--version` and the packages have it from here.
    public static let version = "0.2.0"

    func serverInfo(_ peer: Peer) -> Reply {
        let kvm: ServerInfo.Backend
        do throws(KVMError) {
            kvm = .available(try backends.host().capabilities)
        } catch { kvm = .unavailable(error.description) }
        return .serverInfo(
            ServerInfo(
                version: Self.version, pid: getpid(),
                simulated: .available(SimulatedBackend().capabilities), kvm: kvm,
                limits: limits.all, state: state?.report(for: peer)))
    }

    func getMetrics(_ peer: Peer) -> Reply {
        removeClosedObservers()
        let (account, vms) = registry.withLock { ($0.account(of: peer.user), $0.all(of: peer)) }
        return .metrics(
            MetricsMessage(
                user: account.metrics.figures(Counter.allCases),
                gauges: account.held(budgets.shown) + [account.receiptBytes],
                memoryBytes: ByteCount(UInt64(budgets.memoryBytes.held(by: account.user))),
                subscriptions: budgets.subscriptions.held(by: account.user),
                users: [0, geteuid()].contains(peer.user)
                    ? registry.withLock { $0.all.map { ($0.account.user, $0.account.all) } } : [],
                vms: vms.map { $0.metrics.figures(Counter.allCases.filter(\.isOfVM), vm: $0.name) },
                openMetrics: openMetrics(of: peer)))
    }
}

extension UserAccount {
    /// All that the user holds, as an operator sees it.
    fileprivate var all: [NamedValue] {
        held(budgets.shown) + [receiptBytes] + held([budgets.memoryBytes, budgets.subscriptions])
    }

    fileprivate var receiptBytes: NamedValue {
        NamedValue("receiptBytes", UInt64(clamping: receipts.used))
    }

    fileprivate func held(_ budgets: [Budget]) -> [NamedValue] {
        budgets.map { NamedValue($0.name, UInt64(clamping: $0.held(by: user))) }
    }
}

extension Metrics {
    fileprivate func figures(_ counters: [Counter], vm: String? = nil) -> MetricsMessage.Figures {
        let (counts, summaries) = (counts, summaries)
        return MetricsMessage.Figures(
            vm: vm, counters: counters.map { NamedValue($0.rawValue, counts[$0] ?? 0) },
            histograms: MeasuredTime.allCases.map { time in
                let summary = summaries[time] ?? TimeSummary()
                var values = [NamedValue("count", summary.count), NamedValue("sum", summary.sum)]
                if summary.count > 0 {
                    values += [NamedValue("min", summary.min), NamedValue("max", summary.max)]
                }
                for (rank, value) in zip(TimeSummary.ranks, summary.percentiles) {
                    values.append(NamedValue(rank.name.description, value))
                }
                return MetricsMessage.Histogram(name: time.rawValue, values: values)
            })
    }
}

extension MemslotService {
    func subscribe(
        to name: String?, _ connection: ServiceConnection
    ) throws(ProtocolError) -> Reply {
        let (peer, queue) = (connection.peer, connection.events)
        let named: VirtualMachine?
        if let name { named = try vm(name, of: peer) } else { named = nil }
        let snapshots = try registry.withLock { registry throws(ProtocolError) in
            let vms = named.map { [$0] } ?? registry.all(of: peer)
            let present = vms.map(\.feed.published).map { ArrayMessage($0.table, $0.names) }
            try checkReply(Reply.subscribed(present).byteBound)
            if !registry.follows(named, peer) {
                try budgets.subscriptions.charge(1, to: peer.user)
                registry.follow(named, peer, queue)
            }
            return vms.compactMap { $0.feed.follow(peer.connection, queue) }
        }
        if let named, snapshots.isEmpty { throw .gone(named.name) }
        return .subscribed(snapshots.map { ArrayMessage($0.table, $0.names) })
    }

    func unsubscribe(from name: String?, _ peer: Peer) throws(ProtocolError) -> Reply {
        if let name {
            let vm = try vm(name, of: peer)
            registry.withLock { $0.unfollow(vm, peer) }
        } else {
            registry.withLock { $0.unfollowAll(peer) }
        }
        return .done
    }
}
