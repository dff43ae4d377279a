import MemslotProtocol
import Testing

@Suite("memslotctl load", .enabled(if: Executable.areBuilt, "the executables are not built"))
struct LoadTests {
    @Test(
        "nothing is lost where clients share VMs, and VMs share clients",
        arguments: [(clients: 6, vms: 2), (clients: 2, vms: 6)])
    func isClean(clients: Int, vms: Int) throws {
        let daemon = try RunningDaemon()
        let outcome = try daemon.run(
            "load", "--seconds", "1", "--clients", "\(clients)", "--vms", "\(vms)",
            "--subscribers", "2", "--compare-and-swap", "--json")
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
        let report = try JSONDocument(parsing: outcome.output).root
        #expect(report["clean"]?.bool == true)
        #expect(report["commits"]?.uint64 ?? 0 > 0)
        #expect(report["lostUpdates"]?.uint64 == 0)
        let told = (report["events"]?.uint64 ?? 0) + (report["droppedEvents"]?.uint64 ?? 0)
        #expect(told > 0)
        // All that were made are gone.
        #expect(try daemon.run("list").output.contains("No VMs"))
    }

    @Test("a daemon that is not there is told, with status 2")
    func nobodyListens() throws {
        let daemon = try RunningDaemon()
        daemon.stop()
        #expect(try daemon.run("load", "--seconds", "1").status == 2)
    }

    @Test("without a socket it starts a daemon of its own, and stops it")
    func ownDaemon() throws {
        let other = try RunningDaemon()
        let command = [
            "load", "--seconds", "1", "--rate", "200", "--subscribers", "0", "--slots", "1",
        ]
        let outcome = try CommandRun(command, in: other.directory).outcome()
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
        #expect(outcome.output.contains("Nothing is lost."))
    }
}
