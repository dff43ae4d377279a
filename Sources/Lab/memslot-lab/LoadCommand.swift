import ArgumentParser
import Glibc
import MemslotLab
import MemslotPicture
import MemslotService

struct LoadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load",
        abstract: "Let clients submit as fast as they can, and count what is lost.",
        discussion: """
            Without --socket a memslotd of its own is started for it, and stopped again. The VMs \
            are simulated, are named load-PID-N, and are destroyed at the end.

              memslotctl load --seconds 600
              memslotctl load --vms 1000 --clients 32 --subscribers 4
              memslotctl load --vms 1 --clients 2 --slots 32764 --compare-and-swap

            Exit status: 0 nothing was lost; 1 an update, an event or a connection was, a submit \
            was refused, or the daemon kept descriptors; 2 it could not begin.
            """)

    @Option(
        help: ArgumentHelp(
            "The socket of a running daemon; without it, a daemon of the command's own.",
            valueName: "path"),
        completion: .file(extensions: ["sock"]))
    var socket: String?

    @Option(help: ArgumentHelp("Connections that submit.", valueName: "n"))
    var clients = LoadOptions().clients

    @Option(help: ArgumentHelp("VMs that are submitted to.", valueName: "n"))
    var vms = LoadOptions().vms

    @Option(help: ArgumentHelp("Submits a second of all clients; 0: no limit.", valueName: "n"))
    var rate = LoadOptions().rate

    @Option(help: ArgumentHelp("Slots of each array.", valueName: "n"))
    var slots = LoadOptions().slots

    @Option(help: ArgumentHelp("Connections that follow the events.", valueName: "n"))
    var subscribers = LoadOptions().subscribers

    @Option(help: ArgumentHelp("How long.", valueName: "s"))
    var seconds = LoadOptions().seconds

    @Flag(help: "Name the generation that is expected in each submit.")
    var compareAndSwap = false

    @Flag(help: "Print one JSON object and nothing else.")
    var json = false

    func validate() throws {
        guard (1...10_000).contains(clients), (0...10_000).contains(subscribers) else {
            throw ValidationError("--clients is 1 to 10000, --subscribers 0 to 10000")
        }
        guard (1...100_000).contains(vms), (1...1 << 20).contains(slots) else {
            throw ValidationError("--vms is 1 to 100000, --slots 1 to \(1 << 20)")
        }
        guard (1...1_000_000).contains(seconds), (0...1_000_000_000).contains(rate) else {
            throw ValidationError("--seconds is 1 to 1000000, --rate 0 to 1000000000")
        }
    }

    func run() throws {
        let report: LoadReport
        do throws(TargetLost) {
            report = try load()
        } catch {
            Terminal.complain(error.message)
            throw ExitCode(2)
        }
        let text = LoadText(report: report)
        if json { Terminal.write(text.json) } else { Terminal.print(text.lines) }
        if !report.isClean { throw ExitCode.failure }
    }

    private func load() throws(TargetLost) -> LoadReport {
        // A daemon that goes away is told as a lost connection.
        signal(SIGPIPE, SIG_IGN)
        if let socket { return try load(at: socket) }
        let own = try OwnDaemon(connections: clients + subscribers, vms: vms)
        return try load(at: own.socket)
    }

    private func load(at socket: String) throws(TargetLost) -> LoadReport {
        let path: SocketPath
        do throws(ListeningError) { path = try SocketPath(socket) } catch {
            throw TargetLost(error.message)
        }
        return try Load(path, options).run()
    }

    private var options: LoadOptions {
        var options = LoadOptions()
        options.clients = clients
        options.vms = vms
        options.rate = rate
        options.slots = slots
        options.subscribers = subscribers
        options.seconds = seconds
        options.comparesAndSwaps = compareAndSwap
        return options
    }
}
