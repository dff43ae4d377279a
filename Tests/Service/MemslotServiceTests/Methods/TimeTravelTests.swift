import Foundation
import MemslotProtocol
import MemslotService
import TestSupport
import Testing
import WireTestSupport

@Suite("former arrays, ranges, and the log of a memory object")
struct TimeTravelTests {
    private func client(_ change: (inout ServiceLimits) -> Void = { _ in }) throws -> WireClient {
        var limits = ServiceLimits()
        change(&limits)
        let client = WireClient(MemslotService(limits: limits))
        try client.createVM("a")
        return client
    }

    private static func address(_ page: Int) -> String { "0x\(String(page, radix: 16))000" }

    private func get(_ client: WireClient, _ generation: Int) throws -> WireClient.Reply {
        try client.call("memslots.get", #"{"vm":"a","generation":\#(generation)}"#)
    }

    @Test("the history reaches as far back as its limits let it, and the error says how far")
    func reach() throws {
        func oldest(_ client: WireClient) throws -> UInt64? {
            for turn in 0..<20 {
                try #require(
                    try client.submit("a", page(0, at: Self.address(turn + 1))).error == nil)
            }
            let refused = try get(client, 99)
            #expect(refused.kind == "unknown-generation")
            let data = refused.error?["data"]
            #expect(data?["generation"]?.int == 20)
            let oldest = try #require(data?["oldestGeneration"]?.int)
            for generation in 0...20 {
                let reply = try get(client, generation)
                #expect((reply.error == nil) == (generation >= oldest), "\(reply.line)")
                let address = reply.result?["slots"]?.list.first?["guestPhysicalAddress"]?.string
                if generation >= max(oldest, 1) { #expect(address == Self.address(generation)) }
            }
            return data?["oldestGeneration"]?.uint64
        }
        #expect(try oldest(client()) == 0)
        #expect(try oldest(client { $0.receipts = 5 }) == 15)
        #expect(try oldest(client { $0.receipts = 0 }) == 20)
        // The newest receipt of all stays, whatever its size.
        #expect(try oldest(client { $0.receiptBytesPerPeer = 1 }) == 19)
    }

    @Test("a failed VM shows what is installed, and by its generation what it should have")
    func failed() throws {
        let client = try client()
        try client.submit("a", page(0, at: "0x0"))
        for operation in [1, 2] {
            try client.result(
                "fault.inject", #"{"vm":"a","operation":\#(operation),"errno":"EIO"}"#)
        }
        let failed = try client.submit("a", page(1, at: "0x1000") + "," + page(2, at: "0x2000"))
        #expect(failed.kind == "vm-failed")
        let installed = try client.result("memslots.get", #"{"vm":"a"}"#)
        #expect(installed["installed"]?.bool == true && installed["slots"]?.list.isEmpty == true)
        let meant = try get(client, 1)
        #expect(meant.result?["installed"] == nil && meant.result?["slots"]?.list.count == 1)
    }

    @Test("of a restored VM only what is kept is known: its present array")
    func restored() throws {
        let scratch = try ScratchDirectory()
        do {
            let service = try KeptService(scratch)
            try service.ask("vm.create", #"{"vm":"a","backend":"simulated"}"#)
            for address in ["0x0", "0x1000"] {
                let slots = page(0, at: address)
                try service.ask("memslots.submit", #"{"vm":"a","slots":[\#(slots)]}"#)
            }
            let first = try service.ask("memslots.get", #"{"vm":"a","generation":1}"#)
            #expect(first.contains(#""guestPhysicalAddress":"0x0""#))
        }
        let service = try KeptService(scratch)
        let present = try service.ask("memslots.get", #"{"vm":"a","generation":2}"#)
        #expect(present.contains(#""guestPhysicalAddress":"0x1000""#))
        let gone = try service.call("memslots.get", #"{"vm":"a","generation":1}"#)
        #expect(gone.contains("generations 2 to 2") && gone.contains("unknown-generation"))
        try service.ask("memslots.submit", #"{"vm":"a","slots":[]}"#)
        let former = try service.ask("memslots.get", #"{"vm":"a","generation":2}"#)
        #expect(former == present)
    }

    @Test("a range whose pieces do not fit a reply is refused, however many ranges there are")
    func bounded() throws {
        let client = try client { $0.replyBytes = 16_384 }
        let slots = (0..<24).map {
            #"{"guestPhysicalAddress":"\#(Self.address($0 * 2))","size":4096,"userspaceAddress":4096}"#
        }
        try #require(try client.submit("a", slots.joined(separator: ",")).error == nil)
        func translate(_ ranges: Int, size: String) throws -> WireClient.Reply {
            let range = #"{"guestPhysicalAddress":0,"size":"\#(size)"}"#
            let list = Array(repeating: range, count: ranges).joined(separator: ",")
            return try client.call("memslots.translate", #"{"vm":"a","addresses":[\#(list)]}"#)
        }
        let whole = try translate(1, size: "0xffffffffffffffff")
        #expect(whole.result?["translations"]?.list.first?.list.count == 48)
        for reply in [try translate(4, size: "0x30000"), try translate(600, size: "0x1000")] {
            #expect(reply.error?["data"]?["limit"]?.string == "replyBytes", "\(reply.line)")
        }
    }

    @Test("an error names the form that works in place of what people try, or that there is none")
    func forms() throws {
        let client = try client()
        let ranges = try client.call(
            "memslots.translate", #"{"vm":"a","addresses":[],"ranges":[["0x3ffffff0",64]]}"#)
        let text = ranges.error?["message"]?.string ?? ""
        #expect(text.contains(#"addresses: {"guestPhysicalAddress":"0x3ffffff0","size":64}"#))
        let works = try client.call(
            "memslots.translate",
            #"{"vm":"a","addresses":[{"guestPhysicalAddress":"0x3ffffff0","size":64}]}"#)
        #expect(works.result != nil)
        let attributes = try client.call("memslots.setAttributes", #"{"vm":"a"}"#)
        #expect(attributes.kind == "method-not-found")
        #expect(attributes.line.contains("nor another for it: memslots.submit makes guest ranges"))
    }

    @Test("a reader may read the log of memory, and not clear it; parts keep to the limit")
    func readers() throws {
        let client = try client { $0.dirtyLogPages = 4 }
        try client.result(
            "memory.create", #"{"vm":"a","memory":"m","size":32768,"backing":"memfd"}"#)
        let slot =
            #"{"guestPhysicalAddress":0,"size":32768,"memory":"m","flags":["log-dirty-pages"]}"#
        try client.submit("a", slot)
        let reader = WireClient(client.service, role: .readOnly)
        let part = #"{"vm":"a","memory":"m","firstPage":4"#
        #expect(try reader.call("dirtylog.get", part + "}").result?["pages"]?.int == 4)
        #expect(try reader.call("dirtylog.get", part + #","clear":true}"#).kind == "not-permitted")
        let all = try reader.call("dirtylog.get", #"{"vm":"a","memory":"m"}"#)
        #expect(all.error?["data"]?["limit"]?.string == "dirtyLogPages")
    }

    @Test("warnings are in the reply; an event and the history have those of changed slots alone")
    func warnings() throws {
        let client = try client()
        let follower = WireClient(client.service, queue: 8)
        try follower.call("events.subscribe", #"{"vm":"a"}"#)
        let shared =
            page(0, at: "0x0") + ","
            + page(1, at: "0x2000")
            .replacingOccurrences(of: "0x7f0000001000", with: "0x7f0000000000")
        let reply = try client.submit("a", shared)
        #expect(reply.result?["warnings"]?.list.count == 1, "\(reply.line)")
        #expect(reply.line.contains("map user memory 0x7f0000000000-0x7f0000000fff"))
        #expect(try follower.eventLines().first?.contains(#""warnings":[]"#) == true)
        #expect(
            try client.call("memslots.history", #"{"vm":"a"}"#).line.contains(#""warnings":[]"#))
    }
}
