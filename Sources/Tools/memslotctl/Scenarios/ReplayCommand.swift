public import ArgumentParser
import Glibc
import MemslotPicture
public import MemslotProtocol
import MemslotScenario
import MemslotService

struct ReplayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Play scenarios as transactions and check what they expect.",
        discussion: """
            A scenario is a file of JSON lines, each a request of the wire protocol with what is \
            expected to come back. A table tells each transaction, one a line; then come totals \
            and the memory map that the scenario ends with.

            Exit status: 0 all expectations were met, 1 one was not (what was wanted and what \
            came is printed), 2 a file can't be used (line and column are told).

            With --backend kvm, or auto where KVM opens, lines for the simulator alone and what \
            the host lacks are skipped by name and counted, with what follows from them. Where KVM \
            doesn't open, --backend kvm says why and exits with 1.
            """)

    @Option(help: "Play on this backend instead of the scenario's own: simulated, kvm, auto.")
    var backend: BackendChoice?

    @Option(
        help: ArgumentHelp(
            "Play to the daemon that listens there; VMs that the scenario makes are destroyed "
                + "at its end.", valueName: "path"),
        completion: .file())
    var socket: String?

    @Flag(help: "Print the receipts, one JSON object a line, and nothing else.")
    var json = false

    @Flag(help: "Print only what was not met.")
    var quiet = false

    @Flag(help: "Print the bare requests with ids, to send to a daemon, and play nothing.")
    var requests = false

    @Argument(
        help: "Scenario files; - is standard input.", completion: .file(extensions: ["jsonl"]))
    var files: [String]

    func run() throws {
        var failed = false
        for file in files {
            let input = try InputFile(file)
            if requests {
                try print(requestsOf: input)
            } else if try !play(input) {
                failed = true
            }
        }
        if failed { throw ExitCode(1) }
    }

    private func print(requestsOf input: borrowing InputFile) throws {
        var reader = ScenarioReader(LineReader(descriptor: input.descriptor))
        var id = 1
        while let step = try next(&reader, of: input) {
            guard case .request(let request) = step.content else { continue }
            var writer = JSONWriter()
            request.write(id: id, to: &writer, backend: backend)
            Terminal.write(writer.bytes)
            id += 1
        }
    }

    /// Plays a file.
    ///
    /// - Returns: whether all expectations were met.
    private func play(_ input: borrowing InputFile) throws -> Bool {
        let target = try socket.map { try ReplayedDaemon(socket: $0) }
        // VMs of a daemon would stay, and the next replay would find their names taken.
        defer { target?.destroyMadeVMs() }
        var player = ScenarioPlayer(
            target ?? InProcessTarget(MemslotService(takesRawAddresses: true)), backend: backend)
        var reader = ScenarioReader(LineReader(descriptor: input.descriptor))
        var report = ReplayReport(file: input.name, isQuiet: quiet || json)
        var progress = ProgressBar(total: input.size)
        do {
            if let reason = try player.kvmUnavailability() {
                Terminal.complain("\(input.name): KVM can't be used here: \(reason)")
                throw ExitCode(1)
            }
            while let step = try next(&reader, of: input) {
                progress.show(input.position)
                report.note(step)
                guard let played = try player.play(step) else { continue }
                target?.note(played)
                if json, let receipt = played.receipt {
                    Terminal.write(receipt.rawBytes + [UInt8(ascii: "\n")])
                }
                report.note(played)
            }
            progress.end()
            if !json {
                report.printMismatches()
                if !quiet { try report.print(player: &player) }
            } else {
                report.printMismatches()
            }
        } catch let lost as TargetLost {
            Terminal.complain("\(input.name): \(lost.message)")
            throw ExitCode(1)
        }
        return report.isMet
    }

    private func next(
        _ reader: inout ScenarioReader, of input: borrowing InputFile
    ) throws -> ScenarioStep? {
        do throws(UnusableInput) { return try reader.next() } catch { throw input.unusable(error) }
    }
}

extension BackendChoice: ExpressibleByArgument {}

extension ScenarioPlayer.Played {
    /// The receipt, where the line was a submit that gave one.
    var receipt: JSONValue? {
        method == Method.memslotsSubmit.rawValue ? response?["result"] : nil
    }
}

/// A daemon that a scenario is played to, and the VMs that the scenario made there.
final class ReplayedDaemon: ScenarioTarget {
    private let target: SocketTarget
    // Unchecked use: a target is played to by one thread.
    nonisolated(unsafe) private var made: [String] = []

    /// Connects.
    ///
    /// - Throws: the exit status, once it was told that no daemon is there.
    init(socket: String) throws(ExitCode) {
        var options = DaemonOptions()
        options.socket = socket
        let path = try options.path()
        do throws(TargetLost) { target = try SocketTarget(path) } catch {
            throw DaemonOptions.told(error, socket: socket)
        }
    }

    func exchange(_ line: [UInt8]) throws(TargetLost) -> [UInt8] { try target.exchange(line) }

    /// Remembers a VM that was made, and forgets one that is gone.
    func note(_ played: ScenarioPlayer.Played) {
        guard let vm = played.vm, played.response?["result"] != nil else { return }
        if played.method == Method.vmCreate.rawValue { made.append(vm) }
        if played.method == Method.vmDestroy.rawValue { made.removeAll { $0 == vm } }
    }

    /// Destroys the VMs that were made and are still there.
    func destroyMadeVMs() {
        for vm in made {
            var params = JSONWriter()
            params.beginObject()
            params.key("vm")
            params.string(vm)
            params.endObject()
            var line = JSONWriter()
            line.request(
                method: Method.vmDestroy.rawValue, id: RequestID(0), params: params.finish())
            // A daemon that is gone has no VMs either.
            do throws(TargetLost) { _ = try exchange(Array(line.bytes.dropLast())) } catch {
                return
            }
        }
        made = []
    }
}
