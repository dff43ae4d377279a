import CLinux
import Glibc
import MemslotProtocol
import MemslotService
import TestSupport
import Testing
import WireTestSupport

extension ServerTests {
    @Suite("memory over the socket")
    struct DescriptorTests {
        private static let size = 1 << 16

        /// A memfd that a service accepts, with a name of its own.
        private func memory(_ name: String) -> Int32 {
            let descriptor = clinux_memfd(name, 0)
            _ = ftruncate(descriptor, Self.size)
            _ = clinux_seal_size(descriptor)
            return descriptor
        }

        private func create(_ name: String, fd: Int, id: Int = 1) -> String {
            #"{"id":\#(id),"method":"memory.create","params":{"vm":"a","memory":"\#(name)","fd":\#(fd)}}"#
        }

        @Test("a request gets the descriptor of its own line, by its number on the line")
        func ownLine() throws {
            let server = try RunningServer()
            var client = try server.connect()
            try client.makeVM("a")
            let (first, second) = (memory("memslots-first"), memory("memslots-second"))
            let answer = try client.ask(create("m", fd: 1), descriptors: [first, second])
            #expect(answer["result"]?["memory"]?.string == "m")
            #expect(OpenDescriptors.count("/memfd:memslots-first") == 1)
            #expect(OpenDescriptors.count("/memfd:memslots-second") == 2)
            _ = try client.ask(#"{"id":2,"method":"vm.destroy","params":{"vm":"a"}}"#)
            #expect(OpenDescriptors.count("/memfd:memslots-second") == 1)
            #expect(OpenDescriptors.mappings("/memfd:memslots-second") == 0)
            close(first)
            close(second)
        }

        @Test("a descriptor that a notification exports is not sent, and is closed")
        func notification() throws {
            let server = try RunningServer()
            var client = try server.connect()
            try client.makeVM("a")
            let own = memory("memslots-unsent")
            _ = try client.ask(create("m", fd: 0), descriptors: [own])
            #expect(OpenDescriptors.count("/memfd:memslots-unsent") == 2)
            try client.send(
                #"{"jsonrpc":"2.0","method":"memory.export","params":{"vm":"a","memory":"m"}}"#
                    + "\n")
            // After it on the line, so its reply comes after it.
            _ = try client.ask(Line.get("a", id: 2))
            #expect(OpenDescriptors.count("/memfd:memslots-unsent") == 2)
            close(own)
        }

        @Test("the descriptor of another line is not, and is closed")
        func otherLine() throws {
            let server = try RunningServer()
            var client = try server.connect()
            try client.makeVM("a")
            let own = memory("memslots-other")
            try client.send(Line.get("a", id: 1) + "\n", descriptors: [own])
            try client.send(create("m", fd: 0, id: 2) + "\n")
            let answers = try client.next(2)
            #expect(answers[0].id == 1)
            #expect(answers[1].errorCode == -32_602)
            #expect(OpenDescriptors.count("/memfd:memslots-other") == 1)
            // The other way round: sent with the line after.
            try client.send(create("m", fd: 0, id: 3) + "\n")
            try client.send(Line.get("a", id: 4) + "\n", descriptors: [own])
            #expect(try client.next(2).map(\.errorCode) == [-32_602, nil])
            #expect(OpenDescriptors.count("/memfd:memslots-other") == 1)
            close(own)
        }

        @Test("sixteen descriptors of one line can all be claimed")
        func sixteen() throws {
            let server = try RunningServer()
            var client = try server.connect()
            try client.makeVM("a")
            let own = memory("memslots-sixteen")
            let batch = (0..<16).map { create("m\($0)", fd: $0, id: $0) }.joined(separator: ",")
            let answer = try client.ask(
                "[\(batch)]", descriptors: [Int32](repeating: own, count: 16))
            #expect(answer.elements.allSatisfy { $0["result"] != nil })
            #expect(OpenDescriptors.count("/memfd:memslots-sixteen") == 17)
            _ = try client.ask(#"{"id":2,"method":"vm.destroy","params":{"vm":"a"}}"#)
            #expect(OpenDescriptors.count("/memfd:memslots-sixteen") == 1)
            close(own)
        }

        @Test("an exported descriptor comes with the line of its reply, among other replies")
        func export() throws {
            let server = try RunningServer()
            var client = try server.connect()
            try client.makeVM("a")
            let own = memory("memslots-export")
            _ = try client.ask(create("m", fd: 0), descriptors: [own])
            let export = #""method":"memory.export","params":{"vm":"a","memory":"m"}}"#
            try client.send(
                (1...10).map { id in
                    (id % 3 == 0 ? #"{"id":\#(id),"# + export : Line.get("a", id: id)) + "\n"
                }.joined())
            var faults: [Int] = []
            for id in 1...10 {
                let received = try #require(try client.receive())
                let descriptor = received.descriptors.claim(0)
                let isExport = id % 3 == 0
                if received.value?.id != id || (descriptor != nil) != isExport { faults.append(id) }
                guard let descriptor else { continue }
                if !OpenDescriptors.link(of: descriptor).hasPrefix("/memfd:memslots-export") {
                    faults.append(id)
                }
                close(descriptor)
            }
            #expect(faults == [])
            // The service's own and this test's.
            #expect(OpenDescriptors.count("/memfd:memslots-export") == 2)
            close(own)
        }

        @Test("a batch exports up to sixteen, and one of more is refused whole")
        func exportBatch() throws {
            let server = try RunningServer()
            var client = try server.connect()
            try client.makeVM("a")
            let own = memory("memslots-batch")
            _ = try client.ask(create("m", fd: 0), descriptors: [own])
            let one = #"{"id":1,"method":"memory.export","params":{"vm":"a","memory":"m"}}"#
            for (count, isTaken) in [(16, true), (17, false)] {
                let batch = [String](repeating: one, count: count).joined(separator: ",")
                try client.send("[\(batch)]\n")
                let received = try #require(try client.receive())
                let answers = try #require(received.value?.elements)
                #expect(answers.allSatisfy { ($0["result"] != nil) == isTaken })
                #expect(
                    answers.map { $0["result"]?["fd"]?.int }
                        == (0..<count).map { isTaken ? $0 : nil })
                var taken = 0
                while let descriptor = received.descriptors.claim(taken) {
                    close(descriptor)
                    taken += 1
                }
                #expect(taken == (isTaken ? 16 : 0))
                if !isTaken { #expect(answers.allSatisfy { $0.limit == "descriptors" }) }
            }
            #expect(OpenDescriptors.count("/memfd:memslots-batch") == 2)
            close(own)
        }

        @Test("a peer that asks for descriptors and goes leaves none behind")
        func unreadExport() throws {
            let server = try RunningServer()
            let own = memory("memslots-unread")
            do {
                var client = try server.connect()
                try client.makeVM("a")
                _ = try client.ask(create("m", fd: 0), descriptors: [own])
                let line = #"{"id":1,"method":"memory.export","params":{"vm":"a","memory":"m"}}"#
                for _ in 0..<100 { try client.send(line + "\n") }
            }
            server.events.wait(forDisconnected: 1)
            #expect(OpenDescriptors.count("/memfd:memslots-unread") == 2)
            close(own)
        }
    }
}
