import Glibc
import MemslotProtocol
import TestSupport
import Testing
import WireTestSupport

@testable import MemslotService

extension ServerTests {
    @Suite("the memory of requests")
    struct RequestMemoryTests {
        private let list = #"{"id":1,"method":"vm.list"}"#

        private func server(
            _ bytes: Int = 1 << 20, _ change: (inout ServiceLimits) -> Void = { _ in }
        ) throws -> RunningServer {
            var limits = ServiceLimits()
            limits.requestBytesPerPeer = bytes
            change(&limits)
            return try RunningServer(limits: limits)
        }

        @Test("a line whose requests have no room is refused, and the connection stays")
        func decoding() throws {
            let server = try server()
            var client = try server.connect()
            let long = #"{"id":1,"method":"vm.list"\#(String(repeating: " ", count: 100_000))}"#
            let refused = try client.ask(long)
            #expect(refused.limit == "requestBytesPerPeer")
            #expect(refused["id"]?.kind == .null)
            #expect(try client.ask(list)["result"] != nil)
            // Each element of a batch costs more than its bytes.
            let batch = "[" + String(repeating: "1,", count: 4_000) + "1]"
            #expect(try client.ask(batch).limit == "requestBytesPerPeer")
            server.stop()
            try waitUntil("all room") { server.service.budgets.requestBytes.sum == 0 }
        }

        @Test("a line that has no room is refused before it ends, and its connection is closed")
        func receiving() throws {
            let server = try server()
            var client = try server.connect()
            // Only so much can be sent before the server closes the connection.
            try? client.send(String(repeating: "x", count: 8 << 20))
            #expect(try client.next().limit == "requestBytes")
            #expect(try client.isAtEnd())
            server.events.wait(forDisconnected: 1)
            // Given back by the connection's thread, after the event.
            try waitUntil("its room") { server.service.budgets.requestBytes.sum == 0 }
        }

        @Test("a request that has no room to wait is refused with its id; those that wait are not")
        func waiting() throws {
            let server = try server(5_000)
            var client = try server.connect()
            try client.makeVM("slow")
            _ = try client.ask(Line.submit("slow", id: 1, pages: 1))
            let letGo = try server.holdReader(of: "slow")
            let lines = (2..<20).map { Line.submit("slow", id: $0, pages: $0, deadline: 60_000) }
            try client.send(lines.map { $0 + "\n" }.joined())
            let refused = try client.next()
            #expect(refused.limit == "requestBytesPerPeer")
            #expect(refused.id.map { (4..<20).contains($0) } == true)
            letGo()
            let rest = try client.next(17)
            #expect(rest.contains { $0.id == 2 && $0["result"] != nil })
            #expect(rest.filter { $0.limit != nil }.count < 17)
            server.stop()
            try waitUntil("all room") { server.service.budgets.requestBytes.sum == 0 }
        }

        @Test("what a request allocates is charged before it has an effect")
        func executing() throws {
            let server = try server(400_000)
            var client = try server.connect()
            try client.makeVM("a")
            let slots = (0..<300).map {
                #"{"guestPhysicalAddress":\#($0 * 8192),"size":4096,"userspaceAddress":4096}"#
            }.joined(separator: ",")
            let submit =
                #"{"id":1,"method":"memslots.submit","params":{"vm":"a","slots":[\#(slots)]}}"#
            #expect(try client.ask(submit).limit == "requestBytesPerPeer")
            #expect(try client.ask(Line.get("a", id: 1))["result"]?["generation"]?.int == 0)
            // A bitmap of 2^26 pages is read in parts.
            let large =
                #"{"slot":0,"guestPhysicalAddress":0,"size":"0x4000000000","userspaceAddress":4096,"#
                + #""flags":["log-dirty-pages"]}"#
            _ = try client.ask(
                #"{"id":1,"method":"memslots.submit","params":{"vm":"a","slots":[\#(large)]}}"#)
            let log = #"{"id":1,"method":"dirtylog.get","params":{"vm":"a","slot":0"#
            #expect(try client.ask(log + "}}").limit == "requestBytesPerPeer")
            #expect(try client.ask(log + #","pageCount":65536}}"#)["result"] != nil)
            server.stop()
            try waitUntil("all room") { server.service.budgets.requestBytes.sum == 0 }
        }

        @Test("logs that a failed deletion after the hold fills are charged before the submit")
        func filledLogs() throws {
            let server = try server(1 << 30) { $0.dirtyBytesPerPeer = 1 << 20 }
            let budget = server.service.budgets.dirtyBytes
            var client = try server.connect()
            try client.makeVM("a")
            func submit(pages: Int, logs: Bool, more: Bool) throws -> JSONValue {
                let flags = logs ? #""log-dirty-pages""# : ""
                let rest =
                    more
                    ? #",{"slot":1,"guestPhysicalAddress":"0x100000000000","size":4096,"userspaceAddress":4096}"#
                    : ""
                return try client.ask(
                    #"{"id":1,"method":"memslots.submit","params":{"vm":"a","quiesce":"continuity","#
                        + #""slots":[{"slot":0,"guestPhysicalAddress":0,"size":\#(pages * 4_096),"#
                        + #""userspaceAddress":4096,"flags":[\#(flags)]}\#(rest)]}}"#)
            }
            // 65,536 full chunks of a bitmap, twice.
            #expect(try submit(pages: (1 << 31) - 1, logs: true, more: true)["result"] != nil)
            #expect(
                try submit(pages: (1 << 31) - 1, logs: false, more: false).limit
                    == "dirtyBytesPerPeer")
            // Without a deletion there is nothing after the hold.
            #expect(try submit(pages: (1 << 31) - 1, logs: false, more: true)["result"] != nil)
            #expect(try submit(pages: 1 << 27, logs: true, more: true)["result"] != nil)
            let before = budget.sum
            _ = try client.ask(
                #"{"id":2,"method":"fault.inject","params":{"vm":"a","operation":1,"errno":"ENOMEM"}}"#
            )
            #expect(try submit(pages: 1 << 27, logs: false, more: false).errorKind == "rolled-back")
            #expect(budget.sum > before + 2 * 48 << 12)
            // Again costs no more, and what is full can be cleared only as far as there is room.
            let filled = budget.sum
            #expect(try submit(pages: 1 << 27, logs: false, more: false)["result"] != nil)
            #expect(budget.sum == 0)
            #expect(try submit(pages: 1 << 27, logs: true, more: true)["result"] != nil)
            _ = try client.ask(
                #"{"id":2,"method":"fault.inject","params":{"vm":"a","operation":1,"errno":"ENOMEM"}}"#
            )
            #expect(try submit(pages: 1 << 27, logs: false, more: false).errorKind == "rolled-back")
            #expect(budget.sum == filled)
            func clear(_ page: Int, _ count: Int) throws -> String? {
                try client.ask(
                    #"{"id":3,"method":"dirtylog.get","params":{"vm":"a","slot":0,"clear":true,"#
                        + #""firstPage":\#(page),"pageCount":\#(count)}}"#
                ).limit
            }
            #expect(try clear(0, 1 << 15) == nil && budget.sum == filled)
            let refused = try (1..<4_096).first { try clear($0 << 15 + 7, 1) != nil }
            #expect((10..<1_000).contains(refused ?? 0))
            #expect(budget.sum <= 1 << 20)
            // Whole chunks need no room.
            #expect(try clear(1 << 15, 1 << 20) == nil)
        }

        @Test("dirty bits are charged before they are set, and released when they are gone")
        func dirtyBits() throws {
            let server = try server(1 << 30) { $0.dirtyBytesPerPeer = 100_000 }
            let budget = server.service.budgets.dirtyBytes
            var client = try server.connect()
            try client.makeVM("a")
            let slot =
                #"{"slot":0,"guestPhysicalAddress":0,"size":"0x10000000000","userspaceAddress":4096,"#
                + #""flags":["log-dirty-pages"]}"#
            _ = try client.ask(
                #"{"id":1,"method":"memslots.submit","params":{"vm":"a","slots":[\#(slot)]}}"#)
            func touch(_ page: Int) throws -> String? {
                let address = page * 4096
                return try client.ask(
                    #"{"id":1,"method":"guest.touch","params":{"vm":"a","size":1,"#
                        + #""guestPhysicalAddress":\#(address)}}"#
                ).limit
            }
            // The same page again costs nothing more.
            for _ in 0..<1_000 { #expect(try touch(1) == nil) }
            #expect(budget.sum <= 100_000)
            var count = 0
            while try touch(2 * count) == nil, count < 10_000 { count += 1 }
            #expect((100..<1_000).contains(count))
            #expect(try touch(2 * count) == "dirtyBytesPerPeer")
            let clear =
                #"{"id":1,"method":"dirtylog.get","params":{"vm":"a","slot":0,"clear":true,"#
                + #""pageCount":65536}}"#
            #expect(try client.ask(clear)["result"]?["dirty"]?.int == count + 1)
            #expect(try touch(2 * count) == nil)
            _ = try client.ask(#"{"id":1,"method":"vm.destroy","params":{"vm":"a"}}"#)
            try waitUntil("all room") { budget.sum == 0 }
        }
    }
}
