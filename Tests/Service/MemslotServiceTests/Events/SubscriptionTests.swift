import MemslotProtocol
import MemslotService
import Memslots
import Testing
import WireTestSupport

@Suite("subscriptions")
struct SubscriptionTests {
    let service = MemslotService()

    @Test("the snapshot comes first, and every change after it")
    func snapshotThenChanges() throws {
        let client = WireClient(service, queue: 64)
        try client.createVM("a")
        try client.submit("a", page(0, at: "0x0"))
        let answer = try client.call("events.subscribe", "{\"vm\":\"a\"}")
        let vms = try #require(answer.result?["vms"]).list
        #expect(vms.count == 1)
        #expect(vms[0]["generation"]?.int == 1)
        #expect(vms[0]["slots"]?.list.count == 1)
        #expect(try client.events().events.isEmpty)

        let logging = ",\"flags\":[\"log-dirty-pages\"]"
        try client.submit("a", page(0, at: "0x0", logging) + "," + page(1, at: "0x1000"))
        let events = try client.events().events
        #expect(events.count == 1)
        #expect(events[0]["method"]?.string == "memslots.committed")
        let params = try #require(events[0]["params"])
        #expect(params["previousGeneration"]?.int == 1)
        #expect(params["generation"]?.int == 2)
        let changed = try #require(params["changed"]).list
        #expect(changed.map { $0["slot"]?.int } == [0, 1])
        #expect(changed[0]["flags"]?.list.map(\.string) == ["log-dirty-pages"])
        #expect(params["diff"]?["reflagged"]?.list.map(\.int) == [0])
    }

    @Test("an unchanged array and a refused array send no event")
    func silence() throws {
        let client = WireClient(service, queue: 64)
        try client.createVM("a")
        try client.submit("a", page(0, at: "0x0"))
        try client.call("events.subscribe", "{}")
        try client.submit("a", page(0, at: "0x0"))
        try client.submit("a", page(0, at: "0x1"))
        try client.submit("a", page(0, at: "0x0"), ",\"expectedGeneration\":9")
        try client.call("memslots.plan", "{\"vm\":\"a\",\"slots\":[]}")
        #expect(try client.events().events.isEmpty)
    }

    @Test("a subscription to all follows the user's present and future VMs, never another user's")
    func followAll() throws {
        let client = WireClient(service, user: 1_000, queue: 64)
        let other = WireClient(service, user: 1_001, queue: 64)
        try client.createVM("before")
        try other.createVM("theirs")
        let answer = try client.call("events.subscribe")
        #expect(answer.result?["vms"]?.list.map { $0["vm"]?.string } == ["before"])
        try client.createVM("after")
        try client.submit("after", page(0, at: "0x0"))
        try other.submit("theirs", page(0, at: "0x0"))
        try client.call("vm.destroy", "{\"vm\":\"before\"}")
        let events = try client.events().events
        #expect(
            events.map { $0["method"]?.string } == [
                "vm.created", "memslots.committed", "vm.destroyed",
            ])
        #expect(
            events.map { $0["params"]?["vm"]?.string } == ["after", "after", "before"])
    }

    @Test("a VM that is followed by name and with all sends each event once")
    func once() throws {
        let client = WireClient(service, queue: 64)
        try client.createVM("a")
        try client.call("events.subscribe", "{\"vm\":\"a\"}")
        try client.call("events.subscribe")
        try client.submit("a", page(0, at: "0x0"))
        #expect(try client.events().events.count == 1)
        // The subscription to all continues when the one by name ends.
        try client.call("events.unsubscribe", "{\"vm\":\"a\"}")
        try client.submit("a", "")
        #expect(try client.events().events.count == 1)
        try client.call("events.unsubscribe")
        try client.submit("a", page(0, at: "0x0"))
        #expect(try client.events().events.isEmpty)
    }

    @Test("a rollback, a failure with the installed slots, and its recovery are events")
    func failures() throws {
        let client = WireClient(service, queue: 64)
        try client.createVM("a")
        try client.submit("a", page(0, at: "0x0"))
        try client.call("events.subscribe", "{\"vm\":\"a\"}")
        try client.call(
            "fault.inject", "{\"vm\":\"a\",\"operation\":1,\"errno\":\"ENOMEM\"}")
        let two = page(1, at: "0x1000") + "," + page(2, at: "0x2000")
        try client.submit("a", two)
        try client.call(
            "fault.inject", "{\"vm\":\"a\",\"operation\":1,\"errno\":\"ENOMEM\"}")
        try client.call("fault.inject", "{\"vm\":\"a\",\"operation\":2,\"errno\":\"EIO\"}")
        try client.submit("a", two)
        let events = try client.events().events
        try #require(
            events.map { $0["method"]?.string } == ["memslots.rolledBack", "memslots.failed"])
        #expect(events[0]["params"]?["errno"]?.string == "ENOMEM")
        #expect(events[0]["params"]?["operation"]?.int == 1)
        #expect(events[0]["params"]?["generation"]?.int == 1)
        #expect(events[1]["params"]?["undoErrno"]?.string == "EIO")
        #expect(events[1]["params"]?["slots"]?.list.isEmpty == true)
        let snapshot = try client.call("events.subscribe", "{\"vm\":\"a\"}")
        #expect(snapshot.result?["vms"]?.list.first?["installed"]?.bool == true)

        let recovered = try client.call("vm.recover", "{\"vm\":\"a\"}")
        #expect(recovered.result?["state"]?.string == "ready")
        let after = try client.events().events
        #expect(after.map { $0["method"]?.string } == ["memslots.rolledBack"])
        #expect(after.first?["params"]?["generation"]?.int == 1)
    }

    @Test("a subscriber that does not read loses the oldest events and can subscribe again")
    func dropped() throws {
        let client = WireClient(service, queue: 4)
        try client.createVM("a")
        try client.call("events.subscribe", "{\"vm\":\"a\"}")
        for round in 0..<10 {
            try client.submit("a", round.isMultiple(of: 2) ? page(0, at: "0x0") : "")
        }
        let (dropped, events) = try client.events()
        #expect(dropped == 6)
        #expect(events.map { $0["params"]?["generation"]?.int } == [7, 8, 9, 10])

        // The new snapshot contains the queued events, which are not sent again.
        try client.submit("a", page(0, at: "0x0"))
        let again = try client.call("events.subscribe", "{\"vm\":\"a\"}")
        #expect(again.result?["vms"]?.list.first?["generation"]?.int == 11)
        #expect(try client.events().events.isEmpty)
    }

    @Test("a connection without a queue gets the snapshot and no events")
    func withoutQueue() throws {
        let client = WireClient(service)
        try client.createVM("a")
        #expect(try client.call("events.subscribe").result?["vms"]?.list.count == 1)
        #expect(try client.submit("a", page(0, at: "0x0")).error == nil)
        #expect(try client.call("events.unsubscribe").result != nil)
    }

    @Test("a VM of the same name is another VM")
    func sameName() throws {
        let client = WireClient(service, queue: 64)
        try client.createVM("a")
        try client.call("events.subscribe", "{\"vm\":\"a\"}")
        try client.call("vm.destroy", "{\"vm\":\"a\"}")
        try client.createVM("a")
        try client.submit("a", page(0, at: "0x0"))
        #expect(try client.events().events.map { $0["method"]?.string } == ["vm.destroyed"])
    }

    @Test("subscriptions are limited for each user, and released")
    func limit() throws {
        var limits = ServiceLimits()
        limits.subscriptionsPerPeer = 2
        let service = MemslotService(limits: limits)
        let client = WireClient(service, queue: 64)
        let second = WireClient(service, queue: 64)
        for name in ["a", "b", "c"] { try client.createVM(name) }
        try client.call("events.subscribe", "{\"vm\":\"a\"}")
        try client.call("events.subscribe", "{\"vm\":\"a\"}")
        try second.call("events.subscribe", "{\"vm\":\"b\"}")
        let refused = try second.call("events.subscribe", "{\"vm\":\"c\"}")
        #expect(refused.kind == "limit-exceeded")
        #expect(refused.error?["data"]?["limit"]?.string == "subscriptionsPerPeer")
        // An existing subscription can be repeated at the limit.
        #expect(try second.call("events.subscribe", "{\"vm\":\"b\"}").error == nil)
        try client.submit("c", page(0, at: "0x0"))
        #expect(try second.events().events.isEmpty)

        service.end(client.connection)
        #expect(try second.call("events.subscribe", "{\"vm\":\"c\"}").error == nil)
        // A destroyed VM's subscriptions are released too.
        try second.call("vm.destroy", "{\"vm\":\"c\"}")
        #expect(try second.call("events.subscribe").error == nil)
        let gauges = try second.call("metrics.get").result?["gauges"]
        #expect(gauges?["subscriptions"]?.int == 2)
    }

    @Test("an ephemeral VM ends with its connection, and its followers receive that")
    func ephemeral() throws {
        let client = WireClient(service, queue: 64)
        let watcher = WireClient(service, queue: 64)
        try client.createVM("passing", ",\"ephemeral\":true")
        try client.createVM("staying")
        try watcher.call("events.subscribe")
        service.end(client.connection)
        let events = try watcher.events().events
        #expect(events.map { $0["method"]?.string } == ["vm.destroyed"])
        #expect(events.first?["params"]?["vm"]?.string == "passing")
        let left = try watcher.call("vm.list").result?["vms"]?.list
        #expect(left?.map { $0["vm"]?.string } == ["staying"])
    }

    @Test("the observer receives the events of every VM, with or without followers")
    func log() throws {
        let received = ReceivedEvents()
        service.observeTables { event, vm, user in
            if case .committed(let receipt, _, _) = event {
                received.add("\(vm) \(user) \(receipt.generation)")
            }
        }
        for user: UInt32 in [1_000, 1_001] {
            let client = WireClient(service, user: user)
            try client.createVM("a")
            try client.submit("a", page(0, at: "0x0"))
        }
        #expect(received.all == ["a 1000 1", "a 1001 1"])
    }
}

private final class ReceivedEvents: Sendable {
    private let lines = Locked<[String]>([])

    var all: [String] { lines.withLock { $0 } }

    func add(_ line: String) { lines.withLock { $0.append(line) } }
}
