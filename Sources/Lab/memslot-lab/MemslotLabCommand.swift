import ArgumentParser
import Glibc
import MemslotPicture
import MemslotScenario
import MemslotService
import Memslots

@main
struct MemslotLabCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "memslot-lab",
        abstract: "Test what Memslots promises, on the simulator and on KVM.",
        discussion: """
            Each command attacks one promise and exits with status 1 if it does not hold.

            Begin with:
              memslot-lab torture
            """,
        version: MemslotService.version,
        subcommands: [
            ConformCommand.self, TortureCommand.self, SweepCommand.self, ExhaustCommand.self,
            SimulateCommand.self, LoadCommand.self, CrashCommand.self,
        ])

    /// Runs the command. Output that can't be written is a failure.
    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let error as UnusableFile {
            Terminal.complain(error.message)
            exit(withError: ExitCode.unusable)
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

extension ExitCode {
    /// The input can't be used.
    static let unusable = ExitCode(2)
    /// There is no `/dev/kvm`.
    static let noKVM = ExitCode(3)
}
