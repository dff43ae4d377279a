import Foundation
import MemslotProtocol
import TestSupport
import Testing
import WireTestSupport

@Suite(
    "memslot-lab load",
    .enabled(
        if: Executable.areBuilt && Executable.memslotLab != nil, "the executables are not built"))
struct LoadTests {
    @Test(
        "nothing is lost where clients share VMs, and VMs share clients",
        arguments: [(clients: 6, vms: 2), (clients: 2, vms: 6)])
    func isClean(clients: Int, vms: Int) throws {
        let daemon = try DaemonProcess()
        let outcome = try daemon.run(
            "load", "--seconds", "1", "--clients", "\(clients)", "--vms", "\(vms)",
            "--subscribers", "2", "--compare-and-swap", "--json", program: Executable.memslotLab)
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
        let report = try JSONDocument(parsing: outcome.output).root
        #expect(report["clean"]?.bool == true)
        #expect(report["commits"]?.uint64 ?? 0 > 0)
        #expect(report["lostUpdates"]?.uint64 == 0)
        let events = (report["events"]?.uint64 ?? 0) + (report["droppedEvents"]?.uint64 ?? 0)
        #expect(events > 0)
        // All VMs that it created are destroyed.
        #expect(try daemon.run("list").output.contains("No VMs"))
    }

    @Test("a daemon that is not there is reported, with status 2")
    func noDaemon() throws {
        let daemon = try DaemonProcess()
        daemon.end(by: SIGTERM)
        let outcome = try daemon.run("load", "--seconds", "1", program: Executable.memslotLab)
        #expect(outcome.status == 2)
    }

    @Test("without a socket it starts a daemon of its own, and stops it")
    func ownDaemon() throws {
        let folder = try ScratchDirectory()
        let command = [
            "load", "--seconds", "1", "--rate", "200", "--subscribers", "0", "--slots", "1",
        ]
        let outcome = try CommandRun(command, program: Executable.memslotLab, in: folder.path)
            .outcome()
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
        #expect(outcome.output.contains("Nothing is lost."))
    }
}
