internal import MemslotProtocol
internal import Memslots

extension MemslotService {
    func getMetrics(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        _ = try NoParameters(request.params)
        let (account, vms) = registry.withLock { ($0.account(of: peer.user), $0.all(of: peer)) }
        writer.beginObject()
        writer.metrics(account.metrics, Counter.allCases)
        writer.key("gauges")
        writer.gauges(account.holdings, vms: vms.count)
        writer.key("vms")
        writer.beginArray()
        for vm in vms {
            writer.beginObject()
            writer.key("vm")
            writer.string(vm.name)
            writer.metrics(vm.metrics, Counter.allCases.filter(\.isOfVM))
            writer.endObject()
        }
        writer.endArray()
        writer.key("openMetrics")
        writer.string(openMetrics(of: peer))
        writer.endObject()
    }
}

extension JSONWriter {
    fileprivate mutating func metrics(_ metrics: Metrics, _ counters: [Counter]) {
        key("counters")
        beginObject()
        for (counter, value) in metrics.counts where counters.contains(counter) {
            key(named: counter.rawValue)
            integer(value)
        }
        endObject()
        key("histograms")
        beginObject()
        for (time, summary) in metrics.summaries {
            key(named: time.rawValue)
            self.summary(summary)
        }
        endObject()
    }

    private mutating func summary(_ summary: TimeSummary) {
        beginObject()
        key("count")
        integer(summary.count)
        key("sum")
        integer(summary.sum)
        if summary.count > 0 {
            key("min")
            integer(summary.min)
            key("max")
            integer(summary.max)
        }
        for (rank, value) in zip(TimeSummary.ranks, summary.percentiles) {
            key(rank.name)
            integer(value)
        }
        endObject()
    }

    fileprivate mutating func gauges(_ holdings: UserAccount.Holdings, vms: Int) {
        beginObject()
        key("vms")
        integer(vms)
        key("slots")
        integer(holdings.slots)
        key("memories")
        integer(holdings.memories)
        key("memoryBytes")
        address(holdings.memoryBytes)
        key("subscriptions")
        integer(holdings.subscriptions)
        endObject()
    }
}
