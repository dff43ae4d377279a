import ArgumentParser
import Glibc
import MemslotLab
import MemslotPicture
import MemslotProtocol
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

/// A load's report, for a person and for a program.
struct LoadText {
    let report: LoadReport

    var lines: [String] {
        let latency = report.latency
        let ranks = [
            ("p50", latency.p50), ("p90", latency.p90), ("p99", latency.p99),
            ("p99.9", latency.p999), ("max", latency.max),
        ].map { "\($0.0) \(HumanDuration(nanoseconds: $0.1))" }
        var lines = [
            "\(Int(report.throughput)) submits a second: \(report.commits) committed, "
                + "\(report.unchanged) unchanged, \(report.conflicts) conflicts, "
                + "\(report.errors) errors",
            "latency: " + ranks.joined(separator: ", "),
            "events: \(report.events) read, \(report.droppedEvents) told as dropped, "
                + "\(report.lostEvents) lost",
        ]
        if let first = report.firstError { lines.append("first error: \(Terminal.safe(first))") }
        lines += [""] + usage + [verdict]
        return lines
    }

    private var usage: [String] {
        var table = TextTable(columns: [
            TextTable.Column("the daemon"), TextTable.Column("memory", .trailing),
            TextTable.Column("descriptors", .trailing), TextTable.Column("threads", .trailing),
        ])
        for (when, usage) in moments {
            guard let usage else { continue }
            table.append([
                TextTable.Cell(when), "\(HumanSize(bytes: usage.memory))", "\(usage.descriptors)",
                "\(usage.threads)",
            ])
        }
        guard !table.rows.isEmpty else { return ["The daemon can't be looked into.", ""] }
        return table.lines(width: Terminal.width, colour: Terminal.usesColour) + [""]
    }

    private var moments: [(String, ProcessUsage?)] {
        [
            ("before", report.before), ("after a tenth of the time", report.early),
            ("after nine tenths", report.late), ("with all gone again", report.after),
        ]
    }

    private var verdict: String {
        if report.isClean { return "Nothing is lost." }
        var what: [String] = []
        if !report.lostUpdates.isEmpty {
            what.append("updates of \(report.lostUpdates.prefix(5).joined(separator: ", "))")
        }
        if report.lostEvents > 0 { what.append("\(report.lostEvents) events") }
        if report.lostConnections > 0 { what.append("\(report.lostConnections) connections") }
        if report.errors > 0 { what.append("\(report.errors) submits were refused") }
        if report.leaksDescriptors { what.append("descriptors were kept") }
        return "LOST: " + what.joined(separator: "; ")
    }

    /// One object on one line.
    var json: [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        for (name, count) in [
            ("commits", report.commits), ("unchanged", report.unchanged),
            ("conflicts", report.conflicts), ("errors", report.errors),
            ("events", report.events), ("droppedEvents", report.droppedEvents),
            ("lostEvents", report.lostEvents), ("lostConnections", report.lostConnections),
            ("lostUpdates", UInt64(report.lostUpdates.count)), ("nanoseconds", report.nanoseconds),
            ("submitsPerSecond", UInt64(report.throughput)),
        ] {
            writer.key(named: name)
            writer.integer(count)
        }
        writer.key("latencyNanoseconds")
        writer.beginObject()
        for (name, time) in [
            ("p50", report.latency.p50), ("p90", report.latency.p90), ("p99", report.latency.p99),
            ("p999", report.latency.p999), ("max", report.latency.max),
        ] {
            writer.key(named: name)
            writer.integer(time)
        }
        writer.endObject()
        writer.key("daemon")
        writer.beginObject()
        for (name, usage) in zip(["before", "early", "late", "after"], moments.map(\.1)) {
            guard let usage else { continue }
            writer.key(named: name)
            writer.beginObject()
            writer.key("memoryBytes")
            writer.integer(usage.memory)
            writer.key("descriptors")
            writer.integer(usage.descriptors)
            writer.key("threads")
            writer.integer(usage.threads)
            writer.endObject()
        }
        writer.endObject()
        writer.key("clean")
        writer.bool(report.isClean)
        writer.endObject()
        return writer.bytes + [UInt8(ascii: "\n")]
    }
}
