import MemslotProtocol
import MemslotService
import Testing
import WireTestSupport

@Suite("limits of the service")
struct LimitTests {
    private func client(_ change: (inout ServiceLimits) -> Void) throws -> WireClient {
        var limits = ServiceLimits()
        change(&limits)
        let client = WireClient(MemslotService(limits: limits))
        try client.createVM("a")
        return client
    }

    @Test("server.info reports every limit of the service")
    func reported() throws {
        let limits = try #require(
            try client { $0.addresses = 7 }.call("server.info").result?["limits"])
        #expect(limits["addresses"]?.int == 7)
        // The names are the wire's: a property that is renamed would rename a member.
        let names = """
            lineBytes depth batch batchAnswerBytes descriptors vmsPerPeer slotsPerPeer \
            memoriesPerPeer memoryBytesPerPeer subscriptionsPerPeer receipts violations addresses \
            dirtyLogPages quiesceDeadlineMs armedFaults connections inFlightRequests \
            waitingRequestBytes waitingAnswerBytes threadsPerConnection threads queuedEvents
            """
        let missing = names.split(separator: " ").filter { limits[String($0)] == nil }
        #expect(missing.isEmpty)
    }

    @Test("VMs of a user")
    func vms() throws {
        let client = try client { $0.vmsPerPeer = 2 }
        try client.createVM("b")
        let refused = try client.call("vm.create", "{\"vm\":\"c\",\"backend\":\"simulated\"}")
        #expect(refused.error?["code"]?.int == -32009)
        #expect(refused.error?["data"]?["limit"]?.string == "vmsPerPeer")
        try WireClient(client.service, user: 7_777).createVM("c")
        try client.call("vm.destroy", "{\"vm\":\"b\"}")
        try client.createVM("c")
    }

    @Test("slots of all VMs of a user together")
    func slots() throws {
        let client = try client { $0.slotsPerPeer = 3 }
        try client.createVM("b")
        let two = page(0, at: "0x0") + "," + page(1, at: "0x1000")
        #expect(try client.submit("a", two).error == nil)
        let refused = try client.submit("b", two)
        #expect(refused.error?["data"]?["limit"]?.string == "slotsPerPeer")
        #expect(try client.submit("b", page(0, at: "0x0")).error == nil)
        // What is there may change, and what goes makes room.
        #expect(try client.submit("a", page(0, at: "0x5000")).error == nil)
        #expect(try client.submit("b", two).error == nil)
        try client.call("vm.destroy", "{\"vm\":\"a\"}")
        try client.createVM("a")
        #expect(try client.submit("a", page(0, at: "0x0")).error == nil)
    }

    @Test("addresses of a translation")
    func addresses() throws {
        let client = try client { $0.addresses = 2 }
        let two = try client.call("memslots.translate", "{\"vm\":\"a\",\"addresses\":[0,1]}")
        #expect(two.result?["translations"]?.list.count == 2)
        let three = try client.call("memslots.translate", "{\"vm\":\"a\",\"addresses\":[0,1,2]}")
        #expect(three.error?["data"]?["limit"]?.string == "addresses")
    }

    @Test("pages of a dirty log, which can be read in parts")
    func dirtyLogPages() throws {
        let client = try client { $0.dirtyLogPages = 16 }
        let slot =
            "{\"slot\":0,\"guestPhysicalAddress\":0,\"size\":\"0x20000\","
            + "\"userspaceAddress\":\"0x7f0000000000\",\"flags\":[\"log-dirty-pages\"]}"
        try client.submit("a", slot)
        let whole = try client.call("dirtylog.get", "{\"vm\":\"a\",\"slot\":0}")
        #expect(whole.error?["data"]?["limit"]?.string == "dirtyLogPages")
        let part = try client.call(
            "dirtylog.get", "{\"vm\":\"a\",\"slot\":0,\"firstPage\":16,\"pageCount\":16}")
        #expect(part.result?["pages"]?.int == 16)
    }

    @Test("the deadline of a submit")
    func deadline() throws {
        let client = try client { _ in }
        for method in ["memslots.submit", "memslots.plan"] {
            let most = "{\"vm\":\"a\",\"slots\":[],\"quiesceDeadlineMs\":600000}"
            #expect(try client.call(method, most).error == nil)
            let more = "{\"vm\":\"a\",\"slots\":[],\"quiesceDeadlineMs\":600001}"
            let refused = try client.call(method, more)
            #expect(refused.error?["data"]?["limit"]?.string == "quiesceDeadlineMs")
        }
    }

    @Test("faults armed at once")
    func faults() throws {
        let client = try client { $0.armedFaults = 2 }
        let arm = "{\"vm\":\"a\",\"operation\":9,\"errno\":\"EIO\"}"
        for _ in 0..<2 { #expect(try client.call("fault.inject", arm).error == nil) }
        let refused = try client.call("fault.inject", arm)
        #expect(refused.error?["data"]?["limit"]?.string == "armedFaults")
        try client.call("fault.inject", "{\"vm\":\"a\",\"clear\":true}")
        #expect(try client.call("fault.inject", arm).error == nil)
    }

    @Test("receipts of history, and faults listed")
    func receiptsAndViolations() throws {
        let client = try client {
            $0.receipts = 3
            $0.violations = 2
        }
        for round in 0..<5 {
            try client.submit("a", round.isMultiple(of: 2) ? page(0, at: "0x0") : "")
        }
        let receipts = try client.call("memslots.history", "{\"vm\":\"a\"}").result?["receipts"]
        #expect(receipts?.list.map { $0["generation"]?.int } == [3, 4, 5])
        let faulty = (0..<4).map { page($0, at: "0x1") }.joined(separator: ",")
        let data = try client.submit("a", faulty).error?["data"]
        #expect(data?["violations"]?.list.count == 2)
        #expect((data?["violationCount"]?.int ?? 0) > 4)
    }
}
