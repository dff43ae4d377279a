import Glibc
import MemslotProtocol
import Testing
import WireTestSupport

@testable import MemslotService

extension ServerTests {
    @Suite("replies that are not read")
    struct UnreadReplyTests {
        @Test("they are charged to their peer, which waits for room; all come in the end")
        func unread() throws {
            var limits = ServiceLimits()
            limits.unreadReplyBytesPerPeer = 2 << 20
            let server = try RunningServer(limits: limits)
            let budget = server.service.budgets.unreadReplyBytes
            var first = try server.connect()
            try first.makeLargeVM("a")
            let requests = (1...20).map { Line.get("a", id: $0) + "\n" }.joined()
            try server.withClients(6) { client in
                try client.send(requests)
                client.waitForBytes()
                // The rest of the replies is stuck.
                for _ in 0..<1_000_000 where budget.sum == 0 { sched_yield() }
                #expect(budget.sum > 0)
                #expect(budget.held(by: geteuid()) <= limits.unreadReplyBytesPerPeer)
            }
            // All are connected, and have read nothing.
            var clients: [Int] = []
            try server.withClients(6) { client in
                try client.send(requests)
                var ids: [Int] = []
                for _ in 1...20 {
                    #expect(budget.held(by: geteuid()) <= limits.unreadReplyBytesPerPeer)
                    ids.append(try client.next().id ?? 0)
                }
                #expect(ids == Array(1...20))
                clients.append(ids.count)
            }
            #expect(clients.count == 6)
            server.stop()
            #expect(budget.sum == 0)
        }

        @Test("a peer that reads nothing waits for its own room, and others are served")
        func others() throws {
            var limits = ServiceLimits()
            limits.unreadReplyBytesPerPeer = 1 << 20
            let server = try RunningServer(limits: limits)
            let budget = server.service.budgets.unreadReplyBytes
            // Another peer holds all of its share.
            try budget.charge(1 << 20, to: 4_242)
            var client = try server.connect()
            try client.makeLargeVM("a")
            #expect(try client.ask(Line.get("a", id: 1)).id == 1)
            let batch = "[" + (1...3).map { Line.get("a", id: $0) }.joined(separator: ",") + "]"
            #expect(try client.ask(batch).elements.count == 3)
            budget.release(1 << 20, of: 4_242)
        }

        @Test("a reply that is too long is refused before it is encoded")
        func tooLong() throws {
            var limits = ServiceLimits()
            limits.replyBytes = 100_000
            let client = WireClient(MemslotService(limits: limits))
            try client.createVM("a")
            let slots = (0..<1_000).map {
                #"{"guestPhysicalAddress":\#($0 * 8192),"size":4096,"userspaceAddress":4096}"#
            }.joined(separator: ",")
            // A receipt is not refused: its array is committed.
            #expect(try client.submit("a", slots).result?["generation"]?.int == 1)
            let plan = try client.call("memslots.plan", "{\"vm\":\"a\",\"slots\":[\(slots)]}")
            #expect(plan.root.limit == "replyBytes")
            #expect(try client.call("memslots.get", #"{"vm":"a"}"#).root.limit == "replyBytes")
            #expect(try client.call("events.subscribe").root.limit == "replyBytes")
            #expect(client.service.budgets.subscriptions.sum == 0)
            let addresses = [String](repeating: "0", count: 1_000).joined(separator: ",")
            let translated = try client.call(
                "memslots.translate", #"{"vm":"a","addresses":[\#(addresses)]}"#)
            #expect(translated.root.limit == "replyBytes")
        }

        @Test("the history comes in parts that fit, the newest first")
        func history() throws {
            var limits = ServiceLimits()
            limits.replyBytes = 40_000
            let client = WireClient(MemslotService(limits: limits))
            try client.createVM("a")
            for pages in 1...30 {
                try client.submit(
                    "a",
                    #"{"guestPhysicalAddress":0,"size":\#(pages * 4096),"userspaceAddress":4096}"#)
            }
            var (generations, parts, before) = ([Int](), 0, "")
            while true {
                let reply = try client.call("memslots.history", #"{"vm":"a"\#(before)}"#)
                let result = try #require(reply.result)
                let receipts = try #require(result["receipts"]?.list)
                generations = receipts.compactMap { $0["generation"]?.int } + generations
                parts += 1
                guard let next = result["next"]?.int else { break }
                #expect(next == generations.first)
                before = ",\"before\":\(next)"
            }
            #expect(generations == Array(1...30))
            #expect(parts > 1)
            let last = try client.call("memslots.history", #"{"vm":"a","last":2,"before":9}"#)
            #expect(last.result?["receipts"]?.list.compactMap { $0["generation"]?.int } == [7, 8])
            #expect(last.result?["next"]?.int == 7)
        }
    }
}
