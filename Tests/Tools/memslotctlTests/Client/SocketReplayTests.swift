import Foundation
import MemslotProtocol
import MemslotService
import TestSupport
import Testing
import WireTestSupport

enum FixtureScenario {
    static let path = Repository.path("Fixtures/layouts/microvm-boot.jsonl")
}

@Suite(
    "replay --socket", .serialized,
    .enabled(if: Executable.areBuilt, "memslotctl and memslotd are not built"))
struct SocketReplayTests {
    @Test("a fixture can be replayed on a daemon repeatedly, and leaves no VM behind")
    func fixture() throws {
        let daemon = try DaemonProcess()
        for _ in 0..<2 {
            let played = try daemon.run("replay", FixtureScenario.path)
            #expect(played.status == 0, "\(played.errors)")
            #expect(played.output.contains("0 not, 0 skipped"))
            #expect(played.output.contains("at the end:"))
        }
        #expect(try daemon.run("list", "--json").output == "{\"vms\":[]}\n")
        // The daemon executed it.
        let metrics = try JSONDocument(parsing: daemon.run("metrics", "--json").output).root
        #expect(metrics["counters"]?["commits"]?.int ?? 0 > 0)
    }

    @Test("an unmet expectation is status 1, and the VMs are destroyed all the same")
    func unmet() throws {
        let daemon = try DaemonProcess()
        let file = try daemon.file(
            "s.jsonl",
            #"{"method":"vm.create","params":{"vm":"a"},"expect":{"result":{"generation":5}}}"#)
        let played = try daemon.run("replay", file, "--quiet")
        #expect(played.status == 1)
        #expect(played.errors.contains("wanted 5"))
        #expect(try daemon.run("list", "--json").output == "{\"vms\":[]}\n")
    }
}

extension DaemonProcess {
    /// Writes as a guest of a simulated VM.
    func touch(_ vm: String, at address: String, size: Int) throws {
        var connection = try connect()
        let params = #"{"vm":"\#(vm)","guestPhysicalAddress":"\#(address)","size":\#(size)}"#
        try connection.result("guest.touch", params)
    }
}
