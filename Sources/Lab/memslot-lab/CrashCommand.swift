import ArgumentParser
import Dispatch
import Glibc
import MemslotLab
import MemslotPicture
import MemslotProtocol
import MemslotService
import MemslotTestKit

struct CrashCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "crash",
        abstract: "Kill a daemon under load at random times, and check its state.",
        discussion: """
            Starts memslotd with a temporary state directory, runs clients that change VMs as fast \
            as they can, kills it, and starts it again. Every change with a reply must be there. A \
            change without a reply must be there completely or not at all. The old socket, lock and \
            half-written files must not prevent the start. Every fourth time the daemon is also \
            killed while it starts.

            Exit status: 0 all changes were kept; 1 they were not; 2 it could not be started.
            """)

    @Option(help: ArgumentHelp("The number of kills.", valueName: "n")) var rounds: Int = 200

    @Option(help: ArgumentHelp("Clients, each with its own VM.", valueName: "n"))
    var clients: Int = 4

    @Option(help: ArgumentHelp("The longest time until a kill.", valueName: "ms"))
    var longest: UInt32 = 60

    @Option(help: ArgumentHelp("The seed of the random choices.", valueName: "s"))
    var seed: UInt64 = 1

    @Option(help: "simulated, kvm or auto.") var backend: String = "simulated"

    @Option(help: ArgumentHelp("The daemon's executable.", valueName: "path"), completion: .file())
    var daemon: String?

    @Flag(help: "Run the daemon with --state-sync.") var stateSync = false

    @Flag(help: "Run it without a state directory: every VM must be gone after a kill.")
    var withoutState = false

    func validate() throws {
        guard rounds > 0, (1...64).contains(clients), longest > 0 else {
            throw ValidationError("--rounds and --longest must be at least 1, --clients 1 to 64")
        }
    }

    func run() throws {
        var report = CrashReport()
        let daemon = try DaemonProcess(executable: daemon, hasLogFile: true) { directory in
            ["--log-level", "notice"] + (withoutState ? [] : ["--state-dir", directory + "/state"])
                + (stateSync && !withoutState ? ["--state-sync"] : [])
        }
        defer { daemon.end(SIGKILL) }
        try crash(daemon, &report)
        print(report.text)
        for fault in report.faults.prefix(20) { Terminal.complain(fault) }
        if !report.faults.isEmpty { throw ExitCode.failure }
    }

    private func crash(_ daemon: DaemonProcess, _ report: inout CrashReport) throws(TargetLost) {
        var random = SeededRandom(seed: seed)
        let socket = daemon.socket
        let workers = (0..<clients).map {
            CrashWorker(number: $0, seed: random.next(), backend: backend)
        }
        for round in 1...rounds {
            if round % 4 == 0 {
                try daemon.start()
                usleep(UInt32(random.below(30)) * 1_000)
                daemon.end(SIGKILL)
                report.killedStarting += 1
            }
            try daemon.start()
            var client = try daemon.waitUntilReady()
            report.slowestStart = max(report.slowestStart, Int(daemon.startTime / 1_000_000))
            try report.check(daemon, &client, keepsState: !withoutState)
            for worker in workers {
                if withoutState { worker.resume(from: nil) }
                try report.check(worker, &client, in: round)
            }
            let group = DispatchGroup()
            for worker in workers {
                // A thread each: they block, but there are few.
                DispatchQueue(label: "client").async(group: group) { worker.run(socket) }
            }
            usleep(UInt32(random.below(UInt64(longest) * 1_000)))
            daemon.end(SIGKILL)
            group.wait()
            report.kills += 1
        }
        report.requests = workers.reduce(0) { $0 + $1.replies }
        report.faults += workers.compactMap(\.refusal).map { "a request was refused: \($0)" }
    }
}

struct CrashReport {
    var kills = 0, killedStarting = 0, requests = 0, slowestStart = 0
    var complete = 0, absent = 0, idle = 0
    var faults: [String] = []

    var text: String {
        """
        \(kills) kills under load, \(killedStarting) while starting; \(requests) replies
        requests without a reply: \(complete) found completely, \(absent) not at all; \
        \(idle) clients had none
        slowest start \(slowestStart) ms; \(faults.count) faults
        """
    }

    mutating func check(
        _ daemon: DaemonProcess, _ client: inout ClientConnection, keepsState: Bool
    ) throws(TargetLost) {
        for name in daemon.halfWritten { faults.append("\(name) was not removed") }
        guard keepsState else { return }
        let state = try client.call(.serverInfo).value?["result"]?["state"]
        for list in ["unrestored", "damaged", "ahead"] {
            faults += state?[list]?.elements.map { "\(list): \($0.rawText)" } ?? []
        }
    }

    /// Compares a client's VM with the replies that the client received.
    mutating func check(
        _ worker: CrashWorker, _ client: inout ClientConnection, in round: Int
    ) throws(TargetLost) {
        let found = try worker.read(&client)
        if found == worker.replied {
            if worker.pending == nil { idle += 1 } else { absent += 1 }
        } else if let pending = worker.pending, found == pending {
            complete += 1
        } else {
            faults.append(
                "round \(round), \(worker.vm): found \(found?.text ?? "no VM"); last reply "
                    + "\(worker.replied?.text ?? "no VM"); without a reply "
                    + "\(worker.pending.map { $0?.text ?? "its end" } ?? "nothing")")
        }
        worker.resume(from: found)
    }
}
