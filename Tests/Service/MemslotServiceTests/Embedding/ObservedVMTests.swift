import MemslotProtocol
import MemslotService
import Memslots
import Testing
import WireTestSupport

@Suite("VMs of another process")
struct ObservedVMTests {
    let service = MemslotService()

    private func methods(_ client: WireClient) throws -> [String?] {
        try client.events().events.map { $0["method"]?.string }
    }

    @Test("an announcement to all reaches those that followed a VM by name, even after its end")
    func farewell() throws {
        for name in ["a", "b"] { _ = try service.observe(vm: name) }
        let byName = WireClient(service, queue: 8)
        let both = WireClient(service, queue: 8)
        let ended = WireClient(service, queue: 8)
        let all = WireClient(service, queue: 8)
        let none = WireClient(service, queue: 8)
        try byName.call("events.subscribe", "{\"vm\":\"a\"}")
        for name in ["a", "b"] {
            try both.call("events.subscribe", "{\"vm\":\"\(name)\"}")
            try ended.call("events.subscribe", "{\"vm\":\"\(name)\"}")
        }
        try all.call("events.subscribe")
        for name in ["a", "b"] { #expect(try service.unregister(name)) }
        try ended.call("events.unsubscribe")
        service.announce(Array("{\"method\":\"run.ended\"}".utf8), toFollowersOf: nil)
        #expect(try methods(byName) == ["vm.destroyed", "run.ended"])
        #expect(try methods(both) == ["vm.destroyed", "vm.destroyed", "run.ended"])
        #expect(try methods(all) == ["vm.destroyed", "vm.destroyed", "run.ended"])
        #expect(try methods(ended) == ["vm.destroyed", "vm.destroyed"])
        #expect(try methods(none).isEmpty)
    }

    @Test("only the user who started a run may switch --atomic, and only where there is one")
    func atomicity() throws {
        let set = Locked<[Bool]>([])
        let owner = WireClient(service, user: 1_000, role: .readOnly)
        let off = #"{"atomic":false}"#
        #expect(try owner.call("run.setAtomic", off).kind == "wrong-backend")
        service.controlAtomicity(by: 1_000) { isAtomic in set.withLock { $0.append(isAtomic) } }
        for user: UInt32 in [0, 1_001] {
            let other = WireClient(service, user: user)
            #expect(try other.call("run.setAtomic", off).kind == "not-permitted")
        }
        #expect(try owner.call("run.setAtomic", "{}").kind == "invalid-params")
        #expect(try owner.call("run.setAtomic", off).result?["atomic"]?.bool == false)
        #expect(
            try owner.call("run.setAtomic", #"{"atomic":true}"#).result?["atomic"]?.bool == true)
        #expect(set.withLock { $0 } == [false, true])
    }

    @Test("a peer with all rights can't change them")
    func refuses() throws {
        let observed = try service.observe(vm: "a")
        let client = WireClient(service)
        let changes = [
            ("memslots.submit", "{\"vm\":\"a\",\"slots\":[\(page(0, at: "0x0"))]}"),
            ("memslots.submit", "{\"vm\":\"a\",\"slots\":[]}"),
            (
                "memory.create",
                "{\"vm\":\"a\",\"memory\":\"m\",\"backing\":\"memfd\",\"size\":4096}"
            ),
            ("vm.recover", "{\"vm\":\"a\"}"),
        ]
        for (method, params) in changes {
            #expect(try client.call(method, params).kind == "wrong-backend", "\(method)")
        }
        #expect(try client.call("vm.destroy", "{\"vm\":\"a\"}").kind == "not-permitted")
        #expect(
            try client.call("memory.list", "{\"vm\":\"a\"}").result?["memories"]?.list.isEmpty
                == true)
        // The changes of the other process are still published.
        let transaction = ObservedVM.Transaction(
            operations: [], quiesced: false, durations: Receipt.Durations())
        let slot = Memslot(
            id: SlotID(0), guestPhysicalAddress: GuestPhysicalAddress(0), size: ByteCount(4096),
            userspaceAddress: UserspaceAddress(0x7f00_0000_0000))
        #expect(try observed.record([slot], of: transaction) == Generation(1))
    }
}
