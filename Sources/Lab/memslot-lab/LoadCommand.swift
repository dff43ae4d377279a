import ArgumentParser
import Glibc
import MemslotLab
import MemslotPicture
import MemslotProtocol
import MemslotService
internal import Memslots

struct LoadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load",
        abstract: "Submit from many clients as fast as possible, and count what is lost.",
        discussion: """
            Without --socket, starts a memslotd and stops it at the end. The VMs are simulated, are \
            named load-PID-N and are destroyed at the end.

              memslot-lab load --seconds 600
              memslot-lab load --vms 1000 --clients 32 --subscribers 4
              memslot-lab load --vms 1 --clients 2 --slots 32764 --compare-and-swap

            Exit status: 0 nothing was lost; 1 an update, an event or a connection was lost, a \
            submit was refused, or the daemon leaked descriptors; 2 the load could not begin.
            """)

    @Option(
        help: ArgumentHelp(
            "The socket of a running daemon; by default a new one is started.", valueName: "path"),
        completion: .file(extensions: ["sock"]))
    var socket: String?

    @OptionGroup var options: LoadOptions

    @Flag(help: "Print one JSON object and nothing else.") var json = false

    func run() throws {
        let report = try load()
        let text = LoadText(report: report)
        if json { Terminal.write(text.json) } else { Terminal.print(text.lines) }
        if !report.isClean { throw ExitCode.failure }
    }

    private func load() throws(TargetLost) -> LoadReport {
        // A daemon that ends is reported as a lost connection.
        signal(SIGPIPE, SIG_IGN)
        guard let socket else {
            let daemon = try DaemonProcess { _ in
                [
                    "--log-level", "error", "--max-connections",
                    // All are of one user, who has at most half.
                    "\(max((options.clients + options.subscribers + 8) * 2, 512))",
                    "--max-vms", "\(max(options.vms, 1_024))",
                ]
            }
            try daemon.start()
            _ = try daemon.waitUntilReady()
            return try Load(daemon.socket, options).run()
        }
        let path = try converting(
            { (error: ListeningError) in TargetLost(error.message) }, SocketPath(socket))
        return try Load(path, options).run()
    }
}

struct LoadText {
    let report: LoadReport

    private var tally: LoadTally { report.tally }
    private var counts: Tally<LoadTally.Count> { report.tally.counts }

    var lines: [String] {
        var lines = [
            "\(Int(report.throughput)) submits a second: \(counts[.commits]) committed, "
                + "\(counts[.unchanged]) unchanged, \(counts[.conflicts]) conflicts, "
                + "\(counts[.errors]) errors", "latency: " + tally.latency.text,
            "events: \(counts[.events]) received, \(counts[.droppedEvents]) reported as dropped, "
                + "\(counts[.lostEvents]) lost",
        ]
        if let first = tally.firstError { lines.append("first error: \(Terminal.safe(first))") }
        lines += [""] + usage + [verdict]
        return lines
    }

    private var usage: [String] {
        var table = TextTable(columns: [
            "the daemon", .numbers("memory"), .numbers("descriptors"), .numbers("threads"),
        ])
        for (when, _, usage) in moments {
            guard let usage else { continue }
            table.append([
                TextTable.Cell(when), "\(HumanSize(bytes: usage.memory))", "\(usage.descriptors)",
                "\(usage.threads)",
            ])
        }
        guard !table.rows.isEmpty else { return ["The daemon's usage can't be read.", ""] }
        return Terminal.lines(table) + [""]
    }

    private var moments: [(String, StaticString, ProcessUsage?)] {
        [
            ("before", "before", report.before),
            ("after a tenth of the time", "early", report.early),
            ("after nine tenths", "late", report.late),
            ("after all VMs are gone", "after", report.after),
        ]
    }

    private var verdict: String {
        if report.isClean { return "Nothing is lost." }
        var what: [String] = []
        if !report.lostUpdates.isEmpty {
            what.append("updates of \(report.lostUpdates.prefix(5).joined(separator: ", "))")
        }
        let losses: [(LoadTally.Count, String)] = [
            (.lostEvents, "events"), (.lostConnections, "connections"),
            (.errors, "submits were refused"),
        ]
        what += losses.filter { counts[$0.0] > 0 }.map { "\(counts[$0.0]) \($0.1)" }
        if report.leaksDescriptors { what.append("descriptors were leaked") }
        return "LOST: " + what.joined(separator: "; ")
    }

    var json: [UInt8] {
        var writer = JSONWriter()
        writer.object {
            $0.members(
                counts.named() + [
                    ("lostUpdates", UInt64(report.lostUpdates.count)),
                    ("nanoseconds", report.nanoseconds),
                    ("submitsPerSecond", UInt64(report.throughput)),
                ])
            $0.object("latencyNanoseconds") { $0.members(tally.latency.ranks) }
            $0.object("daemon") {
                for (_, name, usage) in moments {
                    guard let usage else { continue }
                    $0.object(name) {
                        $0.member("memoryBytes", usage.memory)
                        $0.member("descriptors", usage.descriptors)
                        $0.member("threads", usage.threads)
                    }
                }
            }
            $0.member("clean", report.isClean)
        }
        return writer.bytes + [UInt8(ascii: "\n")]
    }
}

extension TimeHistogram {
    var text: String {
        ranks.map {
            "\($0.name == "p999" ? "p99.9" : $0.name) \(HumanDuration(nanoseconds: $0.value))"
        }.joined(separator: ", ")
    }
}
