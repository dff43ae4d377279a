import ArgumentParser
import Dispatch
import Glibc
import MemslotPicture
import MemslotProtocol
import MemslotService

struct CrashCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "crash",
        abstract: "Kill a daemon under load at random moments, and hold it to its word.",
        discussion: """
            Starts memslotd with a state directory of its own, lets clients change VMs as fast as \
            they can, kills it, and starts it again. What was answered must be there; what was not \
            must be there wholly or not at all; the socket, the lock and half-written files must \
            be in nobody's way. Every fourth time it is killed while it starts.

            Exit status: 0 it kept its word; 1 it did not; 2 it could not be started.
            """)

    @Option(help: ArgumentHelp("How often it is killed.", valueName: "n"))
    var rounds: Int = 200

    @Option(help: ArgumentHelp("Clients, each with a VM of its own.", valueName: "n"))
    var clients: Int = 4

    @Option(help: ArgumentHelp("The longest time before it is killed.", valueName: "ms"))
    var longest: UInt32 = 60

    @Option(
        help: ArgumentHelp("Repeats the random choices, though not the moments.", valueName: "s"))
    var seed: UInt64 = 1

    @Option(help: "simulated, kvm or auto.")
    var backend: String = "simulated"

    @Option(help: ArgumentHelp("The daemon's executable.", valueName: "path"), completion: .file())
    var daemon: String?

    @Flag(help: "Run the daemon with --state-sync.")
    var stateSync = false

    @Flag(help: "Run it without a state directory: every VM must be gone then.")
    var withoutState = false

    func validate() throws {
        guard rounds > 0, (1...64).contains(clients), longest > 0 else {
            throw ValidationError("--rounds and --longest begin at 1, --clients is 1 to 64")
        }
    }

    func run() throws {
        let daemon: CrashedDaemon
        var report = CrashReport()
        do throws(TargetLost) {
            daemon = try CrashedDaemon(
                executable: self.daemon, keepsState: !withoutState, isSynced: stateSync)
            defer { daemon.cleanUp() }
            try carryThrough(daemon, &report)
        } catch {
            Terminal.complain(error.message)
            throw ExitCode(2)
        }
        print(report.text)
        for fault in report.faults.prefix(20) { Terminal.complain(fault) }
        if !report.faults.isEmpty { throw ExitCode.failure }
    }

    private func carryThrough(
        _ daemon: CrashedDaemon, _ report: inout CrashReport
    ) throws(TargetLost) {
        var random = CrashRandom(seed: seed)
        let workers = (0..<clients).map {
            CrashWorker(number: $0, seed: random.next(), backend: backend)
        }
        for round in 1...rounds {
            if round % 4 == 0 {
                try daemon.start()
                usleep(UInt32(random.below(30)) * 1_000)
                daemon.kill()
                report.killedStarting += 1
            }
            try daemon.start()
            var client = try daemon.waitUntilReady()
            report.slowestStart = max(report.slowestStart, daemon.startMilliseconds)
            try report.check(daemon, &client, keepsState: !withoutState)
            for worker in workers {
                if withoutState { worker.forget() }
                try report.check(worker, &client, in: round)
            }
            let group = DispatchGroup()
            for worker in workers {
                // A thread each: they block, and there are few.
                DispatchQueue(label: "client").async(group: group) { worker.run(daemon.socket) }
            }
            usleep(UInt32(random.below(UInt64(longest) * 1_000)))
            daemon.kill()
            group.wait()
            report.kills += 1
        }
        report.requests = workers.reduce(0) { $0 + $1.answered }
        report.refusals = workers.compactMap(\.refusal)
    }
}

/// What came of it.
struct CrashReport {
    var kills = 0
    var killedStarting = 0
    var requests = 0
    var wholly = 0
    var notAtAll = 0
    var idle = 0
    var slowestStart = 0
    var faults: [String] = []
    var refusals: [String] = [] {
        didSet { faults += refusals.map { "a request was refused: \($0)" } }
    }

    var text: String {
        """
        \(kills) kills under load, \(killedStarting) while starting; \(requests) requests answered
        requests under way: \(wholly) found wholly, \(notAtAll) not at all; \
        \(idle) clients had none
        slowest start \(slowestStart) ms; \(faults.count) faults
        """
    }

    /// Looks whether the daemon came up clean.
    mutating func check(
        _ daemon: CrashedDaemon, _ client: inout ClientConnection, keepsState: Bool
    ) throws(TargetLost) {
        for name in daemon.halfWritten { faults.append("\(name) stayed") }
        guard keepsState else { return }
        let state = try client.call("server.info").value?["result"]?["state"]
        for list in ["unrestored", "damaged", "ahead"] {
            for element in state?[list].map({ Array($0.elements) }) ?? [] {
                faults.append("\(list): \(element.rawText)")
            }
        }
    }

    /// Holds what is there of a client's VM against what the client was told.
    mutating func check(
        _ worker: CrashWorker, _ client: inout ClientConnection, in round: Int
    ) throws(TargetLost) {
        let found = try worker.look(&client)
        if found == worker.told {
            if worker.pending == nil { idle += 1 } else { notAtAll += 1 }
        } else if let pending = worker.pending, found == pending {
            wholly += 1
        } else {
            faults.append(
                "round \(round), \(worker.vm): found \(found?.text ?? "no VM"); told "
                    + "\(worker.told?.text ?? "no VM"); under way "
                    + "\(worker.pending.map { $0?.text ?? "its end" } ?? "nothing")")
        }
        worker.goOn(from: found)
    }
}

/// SplitMix64.
struct CrashRandom {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }

    /// 0 … `limit` − 1.
    mutating func below(_ limit: UInt64) -> UInt64 { next() % limit }
}
