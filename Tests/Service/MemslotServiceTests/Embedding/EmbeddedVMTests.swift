import Foundation
import MemslotProtocol
import MemslotService
import MemslotSimulator
import Memslots
import Testing
import WireTestSupport

@Suite("a VM of the serving process")
struct EmbeddedVMTests {
    private static let ram = NamedMapping(
        address: UserspaceAddress(0x7f00_0000_0000), size: ByteCount(0x10_0000))

    let service = MemslotService()
    let client: WireClient
    let backend = SimulatedBackend()
    let table: MemslotTable

    init() throws {
        client = WireClient(service)
        table = try MemslotTable(backend: backend)
        try table.submit([
            Self.slot(0, 0, 0x8_0000, at: 0x7f00_0000_0000),
            // A ROM that has no name.
            Self.slot(1, 0xf000_0000, 0x1000, at: 0x7e00_0000_0000, [.readOnly]),
        ])
        try service.register(table: table, as: "vmm", memories: ["ram": Self.ram])
    }

    private static func slot(
        _ id: UInt32, _ address: UInt64, _ size: UInt64, at userspace: UInt64,
        _ flags: MemslotFlags = []
    ) -> Memslot {
        Memslot(
            id: SlotID(id), guestPhysicalAddress: GuestPhysicalAddress(address),
            size: ByteCount(size), userspaceAddress: UserspaceAddress(userspace), flags: flags)
    }

    private func slots() throws -> [JSONValue] {
        try #require(try client.call("memslots.get", "{\"vm\":\"vmm\"}").result?["slots"]).list
    }

    @Test("slots show the name of their memory, else a token, never an address")
    func names() throws {
        let slots = try slots()
        #expect(slots[0]["memory"]?.string == "ram")
        #expect(slots[0]["memoryOffset"]?.string == "0x0")
        #expect(slots[1]["opaque"]?.string?.isEmpty == false)
        let answers = [
            try client.call("memslots.get", "{\"vm\":\"vmm\"}").line,
            try client.call(
                "memslots.translate", "{\"vm\":\"vmm\",\"addresses\":[0,4026531840]}"
            ).line,
            try client.call("memslots.history", "{\"vm\":\"vmm\"}").line,
            try client.call("events.subscribe").line,
        ]
        for line in answers {
            #expect(!line.contains("userspaceAddress"))
            #expect(!line.contains("0x7e0000000000"))
        }
        let list = try client.call("vm.list").result?["vms"]?.list.first
        #expect(list?["generation"]?.int == 1)
        #expect(list?["slots"]?.int == 2)
        #expect(list?["backend"]?.string == "simulated")
        let memories = try client.call("memory.list", "{\"vm\":\"vmm\"}").result?["memories"]?.list
        #expect(memories?.map { $0["memory"]?.string } == ["ram"])
    }

    @Test("a mapping has a dirty log as a memory object has, over all slots that it backs")
    func memoryLog() throws {
        let dirtylog = { (name: String) in
            try client.call("dirtylog.get", "{\"vm\":\"vmm\",\"memory\":\"\(name)\"}")
        }
        #expect(try dirtylog("ram").kind == "not-logging")
        #expect(try dirtylog("rom").kind == "unknown-memory")
        try table.submit([
            Self.slot(0, 0, 0x2000, at: 0x7f00_0000_1000, .logDirtyPages),
            Self.slot(1, 0xf000_0000, 0x1000, at: 0x7e00_0000_0000, .logDirtyPages),
        ])
        for address in [0x1000, 0xf000_0000] as [GuestPhysicalAddress] {
            try backend.touch(address, size: 1)
        }
        let log = try #require(try dirtylog("ram").result)
        #expect(log["pages"]?.int == 256 && log["logged"]?.int == 2)
        // The second page of the slot is the third of the mapping.
        #expect(log["dirty"]?.int == 1 && log["bitmap"]?.string?.hasPrefix("BAAA") == true)
    }

    @Test("warnings show no address of this process")
    func warnings() throws {
        let slots = [
            Self.slot(0, 0, 0x20_0000, at: 0x7e00_0000_1000),
            Self.slot(1, 0xf000_0000, 0x1000, at: 0x7e00_0000_2000),
        ]
        try table.submit(slots)
        let history = try client.call("memslots.history", "{\"vm\":\"vmm\"}").line
        #expect(history.contains("can't be backed by huge pages"))
        let read = try self.slots().map(\.rawText).joined(separator: ",")
        let more = "{\"guestPhysicalAddress\":\"0x10000000\",\"size\":4096,\"memory\":\"ram\"}"
        let plan = try client.call(
            "memslots.plan", "{\"vm\":\"vmm\",\"slots\":[\(read),\(more)]}"
        ).line
        #expect(plan.contains("map the same user memory"))
        for line in [history, plan] { #expect(!line.contains("0x7e0")) }
    }

    @Test("an array that is submitted as it was read changes nothing")
    func unchanged() throws {
        let text = try slots().map(\.rawText).joined(separator: ",")
        let answer = try client.submit("vmm", text)
        #expect(answer.result?["outcome"]?.string == "unchanged", "\(answer.line)")
    }

    @Test("a peer adds slots with named memory beside slots with tokens")
    func added() throws {
        let rom = try slots()[1].rawText
        let more =
            "{\"slot\":2,\"guestPhysicalAddress\":\"0x100000\",\"size\":\"0x1000\","
            + "\"memory\":\"ram\",\"memoryOffset\":\"0x80000\"}"
        let answer = try client.submit("vmm", "\(rom),\(more)")
        #expect(answer.result?["outcome"]?.string == "committed", "\(answer.line)")
        let now = table.snapshot().array.slots
        #expect(now.map(\.assignedID.rawValue) == [1, 2])
        #expect(now[1].userspaceAddress.rawValue == 0x7f00_0008_0000)
        #expect(now[0] == Self.slot(1, 0xf000_0000, 0x1000, at: 0x7e00_0000_0000, [.readOnly]))
    }

    @Test("raw addresses and memory beyond a mapping are refused")
    func refused() throws {
        let raw = try client.submit("vmm", page(0, at: "0x0"))
        #expect(raw.kind == "raw-address-refused")
        let past = try client.submit(
            "vmm",
            "{\"slot\":0,\"guestPhysicalAddress\":0,\"size\":\"0x2000\",\"memory\":\"ram\","
                + "\"memoryOffset\":\"0xff000\"}")
        #expect(past.kind == "backing-out-of-bounds")
    }

    @Test("a token is accepted only for its unchanged slot")
    func tokens() throws {
        let rom = try slots()[1].rawText
        let changes = [
            ("\"slot\":1", "\"slot\":5"),
            ("\"slot\":1,", ""),
            ("0xf0000000", "0xf0001000"),
            ("\"size\":\"0x1000\"", "\"size\":\"0x2000\""),
            ("\"readonly\"", "\"readonly\",\"log-dirty-pages\""),
            ("\"opaque\":", "\"memory\":\"ram\",\"opaque\":"),
            ("\"opaque\":\"", "\"opaque\":\"0"),
        ]
        for (old, new) in changes {
            try #require(rom.contains(old))
            let answer = try client.submit("vmm", rom.replacingOccurrences(of: old, with: new))
            #expect(answer.error?["code"]?.int == -32602, "\(new): \(answer.line)")
            #expect(answer.path == "slots[0].opaque", "\(new)")
        }
        // A token of another VM, and one of a removed slot.
        try table.submit([Self.slot(0, 0, 0x8_0000, at: 0x7f00_0000_0000)])
        #expect(try client.submit("vmm", rom).path == "slots[0].opaque")
        #expect(table.snapshot().array.count == 1)
    }

    @Test("a VM that is not embedded refuses tokens")
    func noTokens() throws {
        try client.createVM("plain")
        let answer = try client.submit(
            "plain",
            "{\"slot\":0,\"guestPhysicalAddress\":0,\"size\":4096,\"opaque\":\"x\"}")
        #expect(answer.path == "slots[0].opaque")
    }

    @Test("peers receive what the process submits itself")
    func events() throws {
        let watcher = WireClient(service, queue: 8)
        try watcher.call("events.subscribe", "{\"vm\":\"vmm\"}")
        try table.submit([Self.slot(0, 0x1000, 0x8_0000, at: 0x7f00_0000_0000)])
        let events = try watcher.events().events
        #expect(events.count == 1)
        #expect(events.first?["params"]?["previousGeneration"]?.int == 1)
        let changed = events.first?["params"]?["changed"]?.list
        #expect(changed?.first?["memory"]?.string == "ram")
    }

    @Test("compare-and-swap works, and the array is validated before the generation")
    func generations() throws {
        let rom = try slots()[1].rawText
        let early = try client.submit("vmm", rom, ",\"expectedGeneration\":0")
        #expect(early.kind == "generation-conflict")
        let late = try client.submit("vmm", rom, ",\"expectedGeneration\":9")
        #expect(late.kind == "generation-conflict")
        let raw = try client.submit("vmm", page(0, at: "0x0"), ",\"expectedGeneration\":9")
        #expect(raw.kind == "raw-address-refused")
        let right = try client.submit("vmm", rom, ",\"expectedGeneration\":1")
        #expect(right.result?["generation"]?.int == 2)
    }

    @Test("a peer can't destroy it or its mappings")
    func rights() throws {
        #expect(try client.call("vm.destroy", "{\"vm\":\"vmm\"}").kind == "not-permitted")
        let memory = "{\"vm\":\"vmm\",\"memory\":\"ram\"}"
        #expect(try client.call("memory.export", memory).path == "memory")
        #expect(try client.call("memory.destroy", memory).path == "memory")
        let again = try client.call(
            "memory.create",
            "{\"vm\":\"vmm\",\"memory\":\"ram\",\"backing\":\"memfd\",\"size\":4096}")
        #expect(again.kind == "memory-exists")
    }

    @Test("the embedder's own objects keep their names in its slots")
    func references() throws {
        let table = try MemslotTable(backend: SimulatedBackend())
        let object = MemoryReference(object: MemoryObjectID(1), offset: ByteCount(0x1000))
        let slot = Memslot(
            id: SlotID(0), guestPhysicalAddress: GuestPhysicalAddress(0),
            size: ByteCount(0x1000), userspaceAddress: UserspaceAddress(0x7f00_0000_1000),
            memory: object)
        try table.submit([slot])
        try service.register(table: table, as: "named", memories: ["ram": Self.ram])
        let shown = try #require(
            try client.call("memslots.get", "{\"vm\":\"named\"}").result?["slots"])
        #expect(shown.list.first?["memoryOffset"]?.string == "0x1000")
        let back = try client.submit("named", shown.list.map(\.rawText).joined(separator: ","))
        #expect(back.result?["outcome"]?.string == "unchanged", "\(back.line)")
        // A peer's object has another id than the embedder's.
        try client.call(
            "memory.create",
            "{\"vm\":\"named\",\"memory\":\"own\",\"backing\":\"memfd\",\"size\":4096}")
        try client.submit(
            "named",
            "{\"slot\":3,\"guestPhysicalAddress\":0,\"size\":4096,\"memory\":\"own\"}")
        let number = table.snapshot().array.slots.first?.memory?.object
        #expect(number != nil && number != object.object)
        // It can't be removed while the VM uses it.
        #expect(throws: ProtocolError.self) { try service.unregister("named") }
        try client.submit("named", "")
        #expect(try service.unregister("named"))
        #expect(try client.call("memslots.get", "{\"vm\":\"named\"}").kind == "unknown-vm")
    }

    @Test("an invalid name or mapping is refused")
    func registration() throws {
        let table = try MemslotTable(backend: SimulatedBackend())
        func kind(_ name: String, _ memories: [String: NamedMapping] = [:]) -> ErrorKind? {
            do throws(ProtocolError) {
                try service.register(table: table, as: name, memories: memories)
                return nil
            } catch {
                return error.kind
            }
        }
        #expect(kind("vmm") == .vmExists)
        #expect(kind("a/b") == .invalidParams)
        #expect(kind("a", ["": Self.ram]) == .invalidParams)
        #expect(kind("a", ["x": Self.ram, "y": Self.ram]) == .invalidParams)
        var empty = Self.ram
        empty.size = .zero
        #expect(kind("a", ["x": empty]) == .invalidParams)
        var wrapping = Self.ram
        wrapping.address = UserspaceAddress(UInt64.max - 0xfff)
        #expect(kind("a", ["x": wrapping]) == .invalidParams)
        #expect(kind("a") == nil)
    }
}
