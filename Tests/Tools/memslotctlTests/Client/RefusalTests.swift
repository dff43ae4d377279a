import Glibc
import TestSupport
import Testing
import WireTestSupport

@Suite(
    "memslotctl's errors", .serialized,
    .enabled(if: Executable.areBuilt, "memslotctl and memslotd are not built"))
struct RefusalTests {
    @Test("each faulty slot is printed with its line in the file and what to do")
    func faultyArray() throws {
        let daemon = try DaemonProcess()
        try daemon.run("create", "web", "--backend", "simulated")
        let file = try daemon.file(
            "bad.json",
            """
            [
              {"slot": 0, "guestPhysicalAddress": 1, "size": 4096, "userspaceAddress": 4096},
              {"slot": 1, "guestPhysicalAddress": "0x100000", "size": 4096,
               "userspaceAddress": 8192},
              {"slot": 7, "guestPhysicalAddress": "0x200000", "size": 0, "memory": "nope"}
            ]
            """)
        for arguments in [["submit", "web", file], ["plan", "--vm", "web", file]] {
            let all = arguments + ["--socket", daemon.socket]
            let refused = try CommandRun(all, in: daemon.directory.path).outcome()
            #expect(refused.status == 1)
            #expect(refused.output.isEmpty)
            #expect(
                refused.errors.contains(
                    "\(file):2: slot 0: guest physical address 0x1 is not a multiple of 4096"))
            #expect(refused.errors.contains("\(file):5: slot 7: the size is 0; leave a slot out"))
            #expect(refused.errors.contains("memslotctl memory create"))
            #expect(!refused.errors.contains("slot 1:"))
        }
        #expect(try daemon.run("get", "web", "--json").output.contains(#""generation":0"#))
    }

    @Test("a file that is not an array is reported with line and column, and status 2")
    func unusableFile() throws {
        let daemon = try DaemonProcess()
        try daemon.run("create", "web", "--backend", "simulated")
        let file = try daemon.file("bad.json", "[\n  {\"slot\": 0, \"sise\": 1}\n]")
        let refused = try daemon.run("submit", "web", file)
        #expect(refused.status == 2)
        #expect(refused.errors.hasPrefix("\(file):2:"))
        #expect(refused.errors.contains("sise"))
    }

    @Test("without a daemon the error says how to start one")
    func noDaemon() throws {
        let daemon = try DaemonProcess()
        daemon.end(by: SIGTERM)
        for arguments in [["info"], ["replay", FixtureScenario.path]] {
            let all = arguments + ["--socket", daemon.socket]
            let refused = try CommandRun(all, in: daemon.directory.path).outcome()
            #expect(refused.status == 1)
            #expect(refused.errors.contains("memslotd --socket \(daemon.socket)\n"))
        }
    }
}
