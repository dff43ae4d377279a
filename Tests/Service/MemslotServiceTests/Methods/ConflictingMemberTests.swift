import MemslotProtocol
import MemslotService
import Testing
import WireTestSupport

extension ServerTests {
    @Suite("members that exclude each other")
    struct ConflictingMemberTests {
        private func slot(_ members: String) -> String {
            #"{"vm":"a","slots":[{"guestPhysicalAddress":0,"size":4096,\#(members)}]}"#
        }

        @Test(
            "each pair has its own kind and names the member",
            arguments: [
                (#""userspaceAddress":4096,"memory":"m""#, "backing-ambiguous", "memory"),
                (
                    #""userspaceAddress":4096,"memoryOffset":0"#, "backing-ambiguous",
                    "memoryOffset"
                ),
                (#""memory":"absent""#, "unknown-memory", "memory"),
            ])
        func slots(members: String, kind: String, member: String) throws {
            let server = try RunningServer()
            var client = try server.connect()
            try client.makeVM("a")
            try client.result(
                "memory.create", #"{"vm":"a","memory":"m","size":4096,"backing":"memfd"}"#)
            let refused = try client.call("memslots.submit", slot(members)).value
            let data = refused?["error"]?["data"]
            #expect(refused?.errorCode == -32_003)
            #expect(data?["kind"]?.string == kind)
            #expect(data?["path"]?.string == "slots[0].\(member)")
            #expect(data?["violationCount"]?.int == 1)
        }

        @Test("each violation has its message, and a name that is missing the nearest of one's own")
        func messages() throws {
            let server = try RunningServer()
            var client = try server.connect()
            try client.makeVM("machine")
            try client.result(
                "memory.create", #"{"vm":"machine","memory":"ram0","size":4096,"backing":"memfd"}"#)
            let slots = #"{"guestPhysicalAddress":1,"size":0,"memory":"ram"}"#
            let refused = try client.call(
                "memslots.submit", #"{"vm":"machine","slots":[\#(slots)]}"#
            ).value
            let messages = refused?["error"]?["data"]?["violations"]?.elements.compactMap {
                $0["message"]?.string
            }
            #expect(messages?.count == 3)
            #expect(messages?.contains { $0.contains(#"did you mean "ram0"?"#) } == true)
            #expect(refused?["error"]?["data"]?["message"] == nil)
            for (method, params) in [
                ("memslots.get", #"{"vm":"machin"}"#),
                ("memory.destroy", #"{"vm":"machine","memory":"ram1"}"#),
            ] {
                let message = try client.call(method, params).value?["error"]?["message"]?.string
                #expect(message?.contains("did you mean \"") == true, "\(message ?? "")")
            }
        }

        @Test("memory that is made and passed, or neither, is refused with the member")
        func memory() throws {
            let server = try RunningServer()
            var client = try server.connect()
            try client.makeVM("a")
            for (members, path) in [(#","backing":"memfd","fd":0"#, "fd"), ("", "backing")] {
                let refused = try client.call(
                    "memory.create", #"{"vm":"a","memory":"m","size":4096\#(members)}"#
                ).value
                #expect(refused?.errorKind == "invalid-params")
                #expect(refused?["error"]?["data"]?["path"]?.string == path)
            }
        }
    }
}
