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
        abstract: "Look at, plan and replay changes of KVM guest memory.",
        discussion: """
            A VM's memory is its memslot array. These commands take whole arrays: they draw one, \
            plan the way from one to another in the fewest kernel calls, and replay a recorded \
            VMM as atomic transactions. The daemon's commands do that to the VMs of a running \
            memslotd.

            Begin with:
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

    /// Runs the command; output that can't be written is a failure, not a success in silence.
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
}
