import Foundation
import MemslotProtocol
import MemslotSimulator
import Memslots
import Testing
import WireTestSupport

@testable import MemslotService

@Suite("a VM that is destroyed during others' requests")
struct DestroyTests {
    @Test("every request gets a reply: what it did, or unknown-vm")
    func race() throws {
        let service = MemslotService()
        let setup = WireClient(service)
        let done = DispatchGroup()
        let odd = Locked<[String]>([])
        for _ in 0..<3 {
            done.enter()
            Thread.detachNewThread {
                let client = WireClient(service, queue: 4)
                for round in 0..<300 {
                    let answers = [
                        try? client.submit("a", round.isMultiple(of: 2) ? page(0, at: "0x0") : ""),
                        try? client.call("memslots.get", "{\"vm\":\"a\"}"),
                        try? client.call("events.subscribe", "{\"vm\":\"a\"}"),
                        try? client.call(
                            "memory.create",
                            "{\"vm\":\"a\",\"memory\":\"m\",\"backing\":\"memfd\",\"size\":4096}"),
                    ]
                    for answer in answers {
                        guard let answer else { continue }
                        let kind = answer.kind
                        if answer.error != nil, kind != "unknown-vm", kind != "memory-exists" {
                            odd.withLock { $0.append(answer.line) }
                        }
                    }
                }
                service.end(client.connection)
                done.leave()
            }
        }
        var destroyed = 0
        for _ in 0..<200 {
            try setup.createVM("a")
            let answer = try setup.call("vm.destroy", "{\"vm\":\"a\"}")
            if answer.error == nil { destroyed += 1 }
        }
        done.wait()
        #expect(odd.withLock { $0 } == [])
        #expect(destroyed == 200)
        let gauges = try setup.call("metrics.get").result?["gauges"]
        #expect(gauges?["subscriptions"]?.int == 0)
        #expect(gauges?["slots"]?.int == 0)
        #expect(gauges?["memories"]?.int == 0)
    }

    @Test("a submit that waited while its VM was destroyed commits nothing")
    func waited() throws {
        let service = MemslotService()
        let client = WireClient(service)
        try client.createVM("a")
        let vm = try #require(
            service.registry.withLock { $0.vm("a", of: Peer(user: getuid())) })
        let (kind, done) = (Locked<String?>(nil), DispatchSemaphore(value: 0))
        let destroyed = vm.changes.withLock { _ in
            Thread.detachNewThread {
                let answer = try? client.submit("a", page(0, at: "0x0"))
                kind.withLock { $0 = answer?.kind ?? "none" }
                done.signal()
            }
            // Long enough to have found its VM. With too little of it this could not fail.
            usleep(20_000)
            return try? client.call("vm.destroy", "{\"vm\":\"a\"}")
        }
        done.wait()
        #expect(destroyed?.result != nil)
        #expect(kind.withLock { $0 } == "unknown-vm")
        #expect(vm.table.snapshot().array.isEmpty)
    }

    @Test("listing and reading wait for no transaction")
    func noWaiting() throws {
        let service = MemslotService()
        let client = WireClient(service)
        let table = try MemslotTable(backend: SimulatedBackend())
        let hook = HeldHook()
        table.add(hook)
        try service.register(
            table: table, as: "slow",
            memories: [
                "ram": NamedMapping(
                    address: UserspaceAddress(0x7f00_0000_0000), size: ByteCount(0x1000))
            ])
        let done = DispatchGroup()
        done.enter()
        Thread.detachNewThread {
            _ = try? WireClient(service).submit(
                "slow",
                "{\"slot\":0,\"guestPhysicalAddress\":0,\"size\":4096,\"memory\":\"ram\"}")
            done.leave()
        }
        hook.entered.wait()
        #expect(try client.call("vm.list").result?["vms"]?.list.count == 1)
        let get = try client.call("memslots.get", "{\"vm\":\"slow\"}")
        #expect(get.result?["generation"]?.int == 0)
        #expect(try client.call("events.subscribe").error == nil)
        #expect(try client.call("metrics.get").error == nil)
        hook.go.signal()
        done.wait()
        let after = try client.call("memslots.get", "{\"vm\":\"slow\"}")
        #expect(after.result?["generation"]?.int == 1)
    }
}

/// Holds a transaction in its preparation until it is released.
private final class HeldHook: MemslotHook {
    let entered = DispatchSemaphore(value: 0)
    let go = DispatchSemaphore(value: 0)

    var name: String { "held" }
    var needsQuiescence: Bool { false }

    func prepare(_ change: MemslotChange) throws(HookVeto) {
        entered.signal()
        go.wait()
    }

    func commit(_ change: MemslotChange) {}
    func finish(_ change: MemslotChange) {}
    func abort(_ change: MemslotChange) {}
}
