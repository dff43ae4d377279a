import ArgumentParser
import Dispatch
import Glibc
import MemslotLab
import MemslotPicture
import MemslotProtocol
import MemslotService
import MemslotTestKit

struct HostileCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hostile",
        abstract: "Attack a daemon as one of its users, and count what it holds.",
        discussion: """
            Starts a memslotd with the least memory. A hostile user does at random what costs the \
            daemon most: half lines, replies and events that are not read, many connections, large \
            dirty logs and receipts, descriptors whose close() lingers, and connections that end in \
            the middle. After each step what the daemon reports is compared with a model of what the \
            user may hold, and with the kernel's smaps_rollup, fd and task. A second client measures \
            its round trips, first alone.

            Margins: \(HostileRun.descriptorMargin) descriptors, \(HostileRun.threadMargin) threads, \
            \(HostileRun.memoryMargin >> 20) MiB; the median round trip takes at most \
            \(HostileRun.slowness) times as long as alone. Started by root, the hostile user is \
            nobody; otherwise both are this user.

            Exit status: 0 all held; 1 something did not; 2 the run could not begin.
            """)

    @Option(help: "The seed.")
    var seed: UInt64 = 1

    @Option(help: ArgumentHelp("The duration.", valueName: "s"))
    var seconds = 60

    func validate() throws {
        guard (1...1_000_000).contains(seconds) else {
            throw ValidationError("--seconds must be 1 to 1000000")
        }
    }

    func run() throws {
        let hasHeld: Bool
        do throws(TargetLost) { hasHeld = try attack() } catch {
            Terminal.complain(error.message)
            throw ExitCode.unusable
        }
        if !hasHeld { throw ExitCode.failure }
    }

    /// - Returns: whether all held.
    private func attack() throws(TargetLost) -> Bool {
        let daemon = try DaemonProcess { _ in
            [
                "--log-level", "critical", "--allow-uid", "\(HostileRun.hostileUser)",
                "--memory-limit", "\(ServiceLimits().leastMemory)",
            ]
        }
        try daemon.start()
        let good = try daemon.waitUntilReady()
        daemon.openToAll()
        var run = try HostileRun.begin(
            seed: seed, daemon.socket, daemon.processID, good)
        let end = DispatchTime.now().uptimeNanoseconds + UInt64(seconds) * 1_000_000_000
        do throws(TargetLost) {
            while DispatchTime.now().uptimeNanoseconds < end { try run.step() }
            try run.finish()
        } catch {
            Terminal.complain("step \(run.steps), --seed \(seed): \(error.message)")
            return false
        }
        print(run.summary)
        return true
    }
}
