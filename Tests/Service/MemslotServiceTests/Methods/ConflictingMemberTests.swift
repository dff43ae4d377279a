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
