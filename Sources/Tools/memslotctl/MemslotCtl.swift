import ArgumentParser
import Glibc
import MemslotPicture
import MemslotScenario
import MemslotService
import Memslots

@main
struct MemslotCtl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "memslotctl",
        abstract: "Show, plan and replay changes of KVM guest memory.",
        discussion: """
            A VM's memory is its memslot array. These commands work on whole arrays: they draw an \
            array, plan the change from one to another with the fewest kernel calls, and replay a \
            recorded VMM as atomic transactions. The daemon's commands do the same with the VMs \
            of a running memslotd.

            Start with:
              memslotctl replay Fixtures/qemu/q35-seabios-boot.jsonl
            """,
        version: MemslotService.version,
        subcommands: [
            ReplayCommand.self, PlanCommand.self, MapCommand.self, ImportCommand.self,
            RunCommand.self,
        ] + LabAliases.all,
        groupedSubcommands: [
            CommandGroup(
                name: "Daemon",
                subcommands: [
                    InfoCommand.self, ListCommand.self, CreateCommand.self, SubmitCommand.self,
                    GetCommand.self, TranslateCommand.self, DirtyCommand.self,
                    HistoryCommand.self, WatchCommand.self, MemoryCommand.self,
                    MetricsCommand.self, DestroyCommand.self, RecoverCommand.self,
                ])
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
            _ = Terminal.flush()
            exit(withError: error)
        }
        if !Terminal.flush() {
            let reason = Errno(rawValue: errno).name
            Terminal.complain("standard output can't be written: \(reason)")
            exit(withError: ExitCode.failure)
        }
    }
}

extension ExitCode {
    static let unusable = ExitCode(2)
}
