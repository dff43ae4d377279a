import MemslotProtocol
import MemslotService
import TestSupport
import Testing
import WireTestSupport

@Suite("private guest ranges on the wire")
struct AttributeTests {
    private static let first = #"{"guestPhysicalAddress":"0x1000","size":"0x2000"}"#

    private func client(
        _ create: String = "", queue: Int? = nil, _ change: (inout ServiceLimits) -> Void = { _ in }
    ) throws -> WireClient {
        var limits = ServiceLimits()
        change(&limits)
        let client = WireClient(MemslotService(limits: limits), queue: queue)
        try client.createVM("a", create)
        return client
    }

    private func submit(
        _ client: WireClient, _ ranges: String, _ slots: String = ""
    ) throws -> WireClient.Reply {
        try client.submit("a", slots, #","attributes":[\#(ranges)]"#)
    }

    @Test("a submit makes ranges private, and every reply about it shows them")
    func round() throws {
        let client = try client(queue: 10)
        #expect(try client.result("memslots.get", #"{"vm":"a"}"#)["attributes"] == nil)
        try client.result("events.subscribe", #"{"vm":"a"}"#)
        let params =
            #"{"vm":"a","slots":[],"attributes":[\#(Self.first),"#
            + #"{"guestPhysicalAddress":12288,"size":4096,"addressSpace":0}]}"#
        let change =
            #""attributes":[{"guestPhysicalAddress":"0x1000","size":"0x3000","private":true}]"#
        let plan = try client.result("memslots.plan", params)
        #expect(plan.rawText.contains(change))
        #expect(plan["because"]?.string == "several-visible-changes")
        let receipt = try client.result("memslots.submit", params)
        #expect(receipt.rawText.contains(change) && receipt["generation"]?.int == 1)
        #expect(receipt["operationCount"]?.int == 0 && receipt["quiesced"]?.bool == true)
        let get = try client.result("memslots.get", #"{"vm":"a"}"#).rawText
        let list = #""attributes":[{"guestPhysicalAddress":"0x1000","size":"0x3000"}]"#
        #expect(get.contains(list))
        #expect(try client.eventLines().last?.contains(change) == true)
        #expect(try client.result("memslots.submit", params)["outcome"]?.string == "unchanged")
        // Without the member they stay; the empty list makes all shared.
        #expect(try client.submit("a", page(0, at: "0x1000")).result?["attributes"] == nil)
        #expect(try client.result("memslots.get", #"{"vm":"a"}"#).rawText.contains(list))
        let back = try submit(client, "", page(0, at: "0x1000"))
        #expect(back.line.contains(change.replacing("true", with: "false")))
        #expect(try client.result("memslots.get", #"{"vm":"a"}"#)["attributes"] == nil)
        let former = try client.result("memslots.get", #"{"vm":"a","generation":2}"#).rawText
        #expect(former.contains(list))
        // Submitted again, it makes all memory shared.
        let shared = try client.result("memslots.get", #"{"vm":"a","generation":0}"#)
        #expect(shared["attributes"]?.list.isEmpty == true)
        let history = try client.result("memslots.history", #"{"vm":"a"}"#)
        #expect(history["receipts"]?.list.map { $0["attributes"]?.list.count ?? 0 } == [1, 0, 1])
    }

    @Test("members are decoded strictly, and a list is validated as a whole")
    func faults() throws {
        let client = try client()
        let unknown = try submit(client, #"{"guestPhysicalAddress":0,"size":4096,"private":true}"#)
        #expect(unknown.kind == "invalid-params" && unknown.path == "attributes[0].private")
        let missing = try submit(client, #"{"guestPhysicalAddress":0}"#)
        #expect(missing.kind == "invalid-params" && missing.path == "attributes[0].size")
        let space = #"{"guestPhysicalAddress":0,"size":4096,"addressSpace":1}"#
        let other = try submit(client, Self.first + "," + space)
        #expect(other.kind == "bad-address-space" && other.path == "attributes[1].addressSpace")
        let first = Self.first
        let all = try submit(client, "\(first),\(space),\(first)", page(0, at: "0x1001"))
        #expect(
            all.error?["data"]?["violations"]?.list.map { $0["path"]?.string ?? "" } == [
                "slots[0].guestPhysicalAddress", "attributes[1].addressSpace",
                "attributes[2].guestPhysicalAddress",
            ])
        let twice = try submit(
            client, Self.first + "," + Self.first, page(0, at: "0x1001"))
        #expect(twice.kind == "misaligned-address" && twice.path?.hasPrefix("slots[0]") == true)
        let violations = twice.error?["data"]?["violations"]?.list ?? []
        #expect(violations.last?["path"]?.string == "attributes[1].guestPhysicalAddress")
        #expect(violations.last?["slot"] == nil && violations.count == 2)
        #expect(try client.result("memslots.get", #"{"vm":"a"}"#)["generation"]?.int == 0)
    }

    @Test("a VM with several address spaces has none")
    func refused() throws {
        let client = try client(#","simulated":{"addressSpaces":2}"#)
        #expect(try submit(client, "").result?["outcome"]?.string == "unchanged")
        let refused = try submit(client, Self.first)
        #expect(refused.kind == "unsupported-flag" && refused.path == "attributes")
        #expect(refused.line.contains("KVM_CAP_MEMORY_ATTRIBUTES"))
        let info = try client.result("server.info")
        #expect(
            info["backends"]?["simulated"]?["capabilities"]?["memoryAttributes"]?.bool == true)
    }

    @Test("the ranges of a submit are limited, and count among the user's slots")
    func limits() throws {
        let client = try client {
            $0.attributes = 2
            $0.slotsPerPeer = 2
        }
        let ranges = (0..<3).map { #"{"guestPhysicalAddress":\#($0 * 8192),"size":4096}"# }
        let three = try submit(client, ranges.joined(separator: ","))
        #expect(three.error?["data"]?["limit"]?.string == "attributes")
        #expect(try submit(client, ranges[0...1].joined(separator: ",")).error == nil)
        let slot = try client.submit("a", page(0, at: "0x0"))
        #expect(slot.error?["data"]?["limit"]?.string == "slotsPerPeer")
        #expect(try submit(client, ranges[0], page(0, at: "0x0")).error == nil)
        try client.result("vm.destroy", #"{"vm":"a"}"#)
        let gauges = try client.result("metrics.get")["gauges"]
        #expect(gauges?["slots"]?.int == 0)
    }

    @Test("a call that fails is undone; a failed VM shows what is private, and recovers")
    func failure() throws {
        let client = try client(queue: 10)
        #expect(try submit(client, Self.first).error == nil)
        try client.result("events.subscribe", #"{"vm":"a"}"#)
        let other = #"{"guestPhysicalAddress":"0x9000","size":"0x1000"}"#
        func inject(_ operation: Int) throws {
            try client.result(
                "fault.inject", #"{"vm":"a","operation":\#(operation),"errno":"ENOMEM"}"#)
        }
        try inject(1)
        let undone = try submit(client, other, page(0, at: "0x0"))
        #expect(undone.kind == "rolled-back" && undone.path == "attributes")
        #expect(undone.error?["data"]?["operation"] == nil)
        #expect(undone.line.contains("private 0x9000-0x9fff"))
        let before = try client.result("memslots.get", #"{"vm":"a"}"#).rawText
        #expect(before.contains(#""attributes":[\#(Self.first)]"#))
        try inject(2)
        try inject(3)
        let undo = try submit(client, other, page(0, at: "0x0"))
        #expect(undo.kind == "vm-failed" && undo.path == "attributes")
        #expect(undo.line.contains("shared 0x1000-0x2fff"))
        let failed = try client.result("memslots.get", #"{"vm":"a"}"#)
        #expect(failed["installed"]?.bool == true && failed["attributes"]?.list.count == 2)
        #expect(try client.eventLines().last?.contains("0x9000") == true)
        for generation in [0, 1] {
            let former = try client.result(
                "memslots.get", #"{"vm":"a","generation":\#(generation)}"#)
            #expect(former["attributes"]?.list.count == generation)
        }
        try client.result("vm.recover", #"{"vm":"a"}"#)
        #expect(try client.result("memslots.get", #"{"vm":"a"}"#).rawText == before)
        #expect(try submit(client, Self.first).result?["outcome"]?.string == "unchanged")
    }

    @Test("a restarted service has them, with slots and without")
    func restored() throws {
        let scratch = try ScratchDirectory()
        for slots in ["", page(0, at: "0x1000")] {
            let before: String
            do {
                let service = try KeptService(scratch)
                if slots.isEmpty {
                    try service.ask("vm.create", #"{"vm":"a","backend":"simulated"}"#)
                }
                try service.ask(
                    "memslots.submit",
                    #"{"vm":"a","slots":[\#(slots)],"attributes":[\#(Self.first)]}"#)
                before = try service.ask("memslots.get", #"{"vm":"a"}"#)
                #expect(before.contains(#""attributes":[{"guestPhysicalAddress":"0x1000""#))
            }
            let service = try KeptService(scratch)
            #expect(try service.ask("memslots.get", #"{"vm":"a"}"#) == before)
            service.end()
        }
    }
}
