public import ArgumentParser
import Glibc
import MemslotPicture
public import MemslotProtocol
import MemslotScenario
import MemslotService

struct ReplayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay", abstract: "Replay scenarios as transactions and check the replies.",
        discussion: """
            A scenario is a file of JSON lines, each a request of the wire protocol with its \
            expected reply. The output is a table of the transactions, totals, and the final \
            memory map.

            Exit status: 0 all expectations were met, 1 one was not (the expected and the received \
            value are printed), 2 a file can't be used (line and column are printed).

            With --backend kvm, or auto if KVM opens, lines for the simulator only, lines that \
            need more than the host has, and lines that depend on them are skipped, printed and \
            counted. If KVM does not open, --backend kvm prints the reason and exits with 1.
            """)

    @Option(help: "Use this backend instead of the scenario's own: simulated, kvm, auto.")
    var backend: BackendChoice?

    @OptionGroup var host: HostOptions

    @Option(
        help: ArgumentHelp(
            "Send the requests to this daemon; VMs that the scenario creates are destroyed "
                + "at its end.", valueName: "path"),
        completion: .file())
    var socket: String?

    @Option(
        help: ArgumentHelp(
            "With --socket: a user as whom the daemon may run, beside root and your own user.",
            valueName: "uid"))
    var serverUid: UInt32?

    @Flag(help: "Print only the receipts, one JSON object per line.") var json = false
    @Flag(help: "Print only unmet expectations.") var quiet = false
    @Flag(help: "Only print the bare requests with ids, to send to a daemon.") var requests = false

    @Argument(
        help: "Scenario files; - is standard input.", completion: .file(extensions: ["jsonl"]))
    var files: [String]

    func run() throws {
        var failed = false
        for file in files {
            let input = try InputFile(file)
            if requests { try print(requestsOf: input) } else if try !play(input) { failed = true }
        }
        if failed { throw ExitCode.failure }
    }

    private func print(requestsOf input: borrowing InputFile) throws {
        var reader = ScenarioReader(LineReader(descriptor: input.descriptor))
        var id = 1
        while let step = try next(&reader, of: input) {
            guard case .request(let request) = step.content else { continue }
            var writer = JSONWriter()
            request.write(id: id, to: &writer, backend: backend, host: host.members)
            Terminal.write(writer.bytes)
            id += 1
        }
    }

    private func play(_ input: borrowing InputFile) throws -> Bool {
        let target = try socket.map { try connect(to: $0) }
        // Otherwise the next replay would find the VMs' names in use.
        defer { target?.destroyVMs() }
        var player = ScenarioPlayer(
            target ?? InProcessTarget(MemslotService(allowsRawAddresses: true)), backend: backend,
            host: host.members)
        var reader = ScenarioReader(LineReader(descriptor: input.descriptor))
        var report = ReplayReport(file: input.name, isQuiet: quiet || json)
        var progress = ProgressBar(total: input.size)
        do {
            if let reason = try player.kvmUnavailability() {
                throw ExitCode.failed("\(input.name): KVM can't be used here: \(reason)")
            }
            while let step = try next(&reader, of: input) {
                progress.show(input.position)
                report.record(step)
                guard let played = try player.play(step) else { continue }
                target?.record(played)
                if json, let receipt = played.receipt {
                    Terminal.write(receipt.rawBytes + [UInt8(ascii: "\n")])
                }
                report.record(played)
            }
            progress.end()
            report.printMismatches()
            if !json && !quiet { try report.print(player: &player) }
        } catch let lost as TargetLost { throw ExitCode.failed("\(input.name): \(lost.message)") }
        return report.isMet
    }

    /// Throws the exit status, after printing that no daemon listens.
    private func connect(to socket: String) throws(ExitCode) -> SocketTarget {
        var options = DaemonOptions()
        options.socket = socket
        let path = try options.paths()[0]
        do throws(TargetLost) { return try SocketTarget(path, serverUser: serverUid) } catch {
            throw options.noDaemon(error)
        }
    }

    private func next(
        _ reader: inout ScenarioReader, of input: borrowing InputFile
    ) throws -> ScenarioStep? {
        do throws(UnusableInput) { return try reader.next() } catch { throw input.unusable(error) }
    }
}

extension BackendChoice: ExpressibleByArgument {}

extension ScenarioPlayer.Played {
    var receipt: JSONValue? { method == Method.memslotsSubmit.rawValue ? reply?["result"] : nil }
}
