import ArgumentParser
import Glibc
import MemslotKVM
import MemslotLab
import MemslotPicture
import MemslotProtocol
import MemslotScenario
import MemslotService
import Memslots

@main
struct MemslotLabCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "memslot-lab",
        abstract: "Test the promises of Memslots, on the simulator and on KVM.",
        discussion: """
            Each command attacks one promise. It exits with status 0 if the promise held and with 1 \
            if not; its own help lists all exit statuses. A first command to try:
              memslot-lab torture
            """, version: MemslotService.version,
        subcommands: [
            ConformCommand.self, TortureCommand.self, SweepCommand.self, ExhaustCommand.self,
            SimulateCommand.self, LoadCommand.self, CrashCommand.self, HostileCommand.self,
        ])

    /// Runs the command. If standard output can't be written, it fails.
    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let error as any UnusableError {
            Terminal.complain(error.message)
            exit(withError: error.exitCode)
        } catch {
            fflush(nil)
            exit(withError: error)
        }
        if fflush(nil) != 0 {
            let reason = Errno(rawValue: errno).name
            Terminal.complain("standard output can't be written: \(reason)")
            exit(withError: ExitCode.failure)
        }
    }
}

/// An error that a command prints before it exits.
protocol UnusableError: Error {
    var message: String { get }
    var exitCode: ExitCode { get }
}

extension UnusableError { var exitCode: ExitCode { .unusable } }

extension UnusableFile: UnusableError {}
extension TargetLost: UnusableError {}
extension SimulationError: UnusableError {}

extension KVMError: UnusableError { var exitCode: ExitCode { .noKVM } }

extension ExitCode {
    static let unusable = ExitCode(2)
    static let noKVM = ExitCode(3)
}

extension JSONWriter {
    mutating func members(_ numbers: [(name: String, value: UInt64)]) {
        for (name, value) in numbers {
            key(named: name)
            integer(value)
        }
    }
}
