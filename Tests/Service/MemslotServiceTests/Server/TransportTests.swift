import Glibc
import MemslotProtocol
import MemslotService
import TestSupport
import Testing
import WireTestSupport

extension ServerTests {
    @Suite("transport")
    struct TransportTests {
        @Test("a reply has the request's id, and a notification gets none")
        func answers() throws {
            let server = try RunningServer()
            var client = try server.connect()
            try client.send(
                #"{"method":"vm.create","params":{"vm":"n","backend":"simulated"}}"# + "\n")
            let answer = try client.ask(#"{"id":"x","method":"vm.list"}"#)
            #expect(answer["id"]?.string == "x")
            #expect(answer["jsonrpc"]?.string == "2.0")
            #expect(answer["result"]?["vms"]?.elements.count == 1)
        }

        @Test("what is not JSON gets an error with a null id, and the next line its reply")
        func parseErrors() throws {
            let server = try RunningServer()
            var client = try server.connect()
            for bytes in [Array("{".utf8), [0x22, 0xFF, 0x22], Array("nonsense".utf8), [0x00]] {
                try client.send(bytes + [0x0A])
                let answer = try client.next()
                #expect(answer.errorCode == -32_700)
                #expect(answer["id"]?.isNull == true)
            }
            #expect(try client.ask(#"{"id":1,"method":"vm.list"}"#).id == 1)
        }

        @Test("a batch gets one line in order, a batch of notifications gets none")
        func batch() throws {
            let server = try RunningServer()
            var client = try server.connect()
            try client.send(#"[{"method":"vm.list"}]"# + "\n")
            let answer = try client.ask(
                #"[{"id":1,"method":"vm.list"},{"method":"vm.list"},7,{"id":2,"method":"none"}]"#)
            #expect(answer.elements.map(\.id) == [1, nil, 2])
            #expect(Array(answer.elements)[1].errorCode == -32_600)
            #expect(try client.ask("[]").errorCode == -32_600)
        }

        @Test("a line that nests too deep is limit-exceeded, and the connection continues")
        func depth() throws {
            var limits = ServiceLimits()
            limits.depth = 8
            let server = try RunningServer(limits: limits)
            var client = try server.connect()
            for count in [7, 8, 100_000] {
                let nest = String(repeating: "[", count: count)
                let ends = String(repeating: "]", count: count)
                let line = #"{"id":1,"method":"vm.list","params":\#(nest)\#(ends)}"#
                let answer = try client.ask(line)
                #expect(answer.errorCode == (count < 8 ? -32_602 : -32_009), "\(answer.rawText)")
                #expect(answer.limit == (count < 8 ? nil : "depth"))
                #expect(count < 8 || answer["id"]?.isNull == true)
            }
            #expect(try client.ask(#"{"id":2,"method":"vm.list"}"#).id == 2)
        }

        @Test("an empty line and one of blanks get no reply, and their descriptors are closed")
        func emptyLines() throws {
            let server = try RunningServer()
            var client = try server.connect()
            // A name of its own: other tests have memory files in this process, too.
            let memory = try memfd(4_096, name: "blank-lines")
            defer { close(memory) }
            for line in ["\n", "\r\n", " \t\n"] {
                try client.send(Array(line.utf8), descriptors: [memory])
                #expect(try client.ask(#"{"id":7,"method":"vm.list"}"#).id == 7, "\(line)")
            }
            #expect(OpenDescriptors.count("/memfd:blank-lines") == 1)
            #expect(OpenDescriptors.mappings("/memfd:blank-lines") == 0)
        }

        @Test("requests that come byte by byte, blank lines and both line ends are accepted")
        func bytes() throws {
            let server = try RunningServer()
            var client = try server.connect()
            for byte in "\n\r\n \n{\"id\":1,\"method\":\"vm.list\"}\r\n".utf8 {
                try client.send([byte])
            }
            #expect(try client.next().id == 1)
        }

        @Test("a hundred requests in one write get their replies in order")
        func joined() throws {
            let server = try RunningServer()
            var client = try server.connect()
            try client.makeVM("a")
            try client.send(
                (1...100).map { Line.submit("a", id: $0, pages: $0) + "\n" }.joined())
            let answers = try client.next(100)
            #expect(answers.map(\.id) == Array(1...100))
            #expect(answers.map { $0["result"]?["generation"]?.int } == Array(1...100))
        }

        @Test("a line of four million bytes gets its reply")
        func longLine() throws {
            let server = try RunningServer()
            var client = try server.connect()
            let padding = String(repeating: " ", count: 4 << 20)
            #expect(try client.ask(#"{"id":1,"method":"vm.list"\#(padding)}"#).id == 1)
            #expect(try client.ask(#"{"id":2,"method":"vm.list"}"#).id == 2)
        }

        @Test(
            "a line past the limit gets an error, and ends the connection",
            arguments: [true, false])
        func tooLong(hasEnd: Bool) throws {
            var limits = ServiceLimits()
            limits.lineBytes = 1_000
            let server = try RunningServer(limits: limits)
            var client = try server.connect()
            let room = 1_000 - #"{"id":1,"method":"vm.list"}"#.utf8.count
            let padding = String(repeating: " ", count: room)
            #expect(try client.ask(#"{"id":1,"method":"vm.list"\#(padding)}"#).id == 1)
            try client.send(String(repeating: "x", count: 1_002) + (hasEnd ? "\n" : ""))
            let answer = try client.next()
            #expect(answer.errorCode == -32_009)
            #expect(answer.limit == "lineBytes")
            #expect(answer["id"]?.isNull == true)
            #expect(try client.isAtEnd())
        }

        @Test("a peer that ends sending gets all its replies, then the end")
        func halfClosed() throws {
            let server = try RunningServer()
            var client = try server.connect()
            try client.makeVM("a")
            try client.send((1...50).map { Line.submit("a", id: $0, pages: $0) + "\n" }.joined())
            client.endSending()
            #expect(try client.next(50).map(\.id) == Array(1...50))
            #expect(try client.isAtEnd())
        }

        @Test("a line without its end is not executed, and gets an error")
        func noEnd() throws {
            let server = try RunningServer()
            var client = try server.connect()
            try client.send(#"{"id":1,"method":"vm.create","params":{"vm":"a"}}"#)
            client.endSending()
            #expect(try client.next().errorCode == -32_700)
            #expect(try client.isAtEnd())
            var other = try server.connect()
            #expect(
                try other.ask(#"{"id":1,"method":"vm.list"}"#)["result"]?["vms"]?.elements.count
                    == 0)
        }

        @Test("a peer that goes in the middle of a line or a request leaves nothing behind")
        // In a process of its own: what that has open is counted.
        func disconnects() async {
            await #expect(processExitsWith: .success) {
                let server = try RunningServer()
                let before = OpenDescriptors.count("socket:")
                for round in 0..<20 {
                    do {
                        let client = try server.connect()
                        try client.send(
                            round % 2 == 0 ? #"{"id":1,"met"# : Line.get("none", id: 1) + "\n")
                    }
                    server.events.wait(forDisconnected: round + 1)
                }
                guard OpenDescriptors.count("socket:") == before else { exit(1) }
            }
        }

        @Test("an ephemeral VM ends with its connection")
        func ephemeral() throws {
            let server = try RunningServer()
            do {
                var client = try server.connect()
                let line =
                    #"{"id":1,"method":"vm.create","params":{"vm":"e","backend":"simulated","ephemeral":true}}"#
                #expect(try client.ask(line)["result"] != nil)
            }
            server.events.wait(forDisconnected: 1)
            var other = try server.connect()
            #expect(try other.ask(Line.get("e", id: 1)).errorKind == "unknown-vm")
        }
    }
}
