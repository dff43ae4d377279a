import Foundation
import MemslotProtocol
import Memslots
import Synchronization
import Testing
import WireTestSupport

@testable import MemslotService

/// A reader of this process pins an array while peers change it.
@Suite("memory of an array that a reader pins")
struct RetiredMemoryTests {
    private let client: WireClient
    private let table: MemslotTable
    private let slot =
        "{\"slot\":0,\"guestPhysicalAddress\":0,\"size\":\"0x1000\",\"memory\":\"ram\"}"

    init() throws {
        let service = MemslotService()
        client = WireClient(service, queue: 64)
        try client.createVM("a")
        let created = try client.call(
            "memory.create",
            "{\"vm\":\"a\",\"memory\":\"ram\",\"size\":\"0x1000\",\"backing\":\"memfd\"}")
        try #require(created.error == nil)
        try client.submit("a", slot)
        let vm = service.registry.withLock { $0.vm("a", of: Peer(user: getuid())) }
        table = try #require(vm).table
    }

    /// Writes to the guest's first page and reads it, as a device does.
    private func useMemory(_ view: borrowing TableView) -> UInt8? {
        guard let found = view.translate(GuestPhysicalAddress(0)),
            let place = UnsafeMutableRawPointer(
                bitPattern: UInt(found.userspaceAddress.rawValue))
        else { return nil }
        place.storeBytes(of: 7, as: UInt8.self)
        return place.load(as: UInt8.self)
    }

    private func destroyMemory() throws -> String? {
        try client.call("memory.destroy", "{\"vm\":\"a\",\"memory\":\"ram\"}").kind
    }

    @Test("stays mapped and can't be destroyed until the reader leaves, which sends an event")
    func isPinned() throws {
        try client.call("events.subscribe", "{\"vm\":\"a\"}")
        let reader = table.makeReader(as: "virtio-blk")
        try reader.read { view throws in
            let (client, done) = (client, DispatchSemaphore(value: 0))
            Thread.detachNewThread {
                defer { done.signal() }
                let receipt = try? client.submit("a", "", ",\"quiesceDeadlineMs\":5").result
                #expect(receipt?["outcome"]?.string == "committed")
                #expect(receipt?["retired"]?.bool == false)
                #expect(receipt?["readers"]?.list.map(\.string) == ["virtio-blk"])
            }
            done.wait()
            #expect(table.unretiredArrays.count == 1)
            #expect(table.snapshot().array.isEmpty)
            #expect(try destroyMemory() == "memory-in-use")
            #expect(useMemory(view) == 7)
        }
        var methods: [String] = []
        let end = Date().addingTimeInterval(30)
        while !methods.contains("memslots.retired"), Date() < end {
            for event in try client.events().events {
                methods.append(event["method"]?.string ?? "")
                if methods.last == "memslots.retired" {
                    #expect(event["params"]?["vm"]?.string == "a")
                    #expect(event["params"]?["generation"]?.int == 2)
                }
            }
            sched_yield()
        }
        #expect(methods == ["memslots.committed", "memslots.retired"])
        #expect(try destroyMemory() == nil)
    }

    @Test("stays mapped while a failed VM has it installed, even if its array does not")
    func failedVM() throws {
        try client.submit("a", "")
        for operation in 1...2 {
            try client.call(
                "fault.inject", "{\"vm\":\"a\",\"operation\":\(operation),\"errno\":\"ENOMEM\"}")
        }
        let second =
            "{\"slot\":1,\"guestPhysicalAddress\":\"0x100000\",\"size\":\"0x1000\",\"memory\":\"ram\"}"
        #expect(try client.submit("a", slot + "," + second).error != nil)
        #expect(table.failure?.installed.count == 1)
        #expect(table.snapshot().array.isEmpty)
        #expect(try destroyMemory() == "memory-in-use")
        #expect(try client.call("vm.recover", "{\"vm\":\"a\"}").error == nil)
        #expect(try destroyMemory() == nil)
    }

    @Test("stays mapped after its VM is destroyed")
    func destroyedVM() throws {
        let reader = table.makeReader(as: "virtio-blk")
        try reader.read { view throws in
            #expect(try client.call("vm.destroy", "{\"vm\":\"a\"}").error == nil)
            #expect(useMemory(view) == 7)
        }
    }
}
