import ArgumentParser
import Glibc
import MemslotPicture
import MemslotProtocol
import MemslotScenario
import MemslotService
import Memslots

@main struct MemslotCtl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "memslotctl", abstract: "Show, plan and replay changes of KVM guest memory.",
        discussion: """
            A VM's memory is its memslot array. These commands work on whole arrays: they draw an \
            array, plan the change from one to another with the fewest kernel calls, and replay a \
            recorded VMM as atomic transactions. The daemon's commands do the same with the VMs \
            of a running memslotd.

            --color auto, always or never, anywhere before --, chooses colours; NO_COLOR and \
            TERM=dumb switch them off. --vm NAME names the VM of every command that has one.

            Start with:
              memslotctl replay \(example)
            """,
        version: MemslotService.version,
        subcommands: [
            ReplayCommand.self, PlanCommand.self, MapCommand.self, ReportCommand.self,
            ExplainCommand.self, ImportCommand.self, RunCommand.self,
        ],
        groupedSubcommands: [
            CommandGroup(
                name: "Daemon",
                subcommands: [
                    InfoCommand.self, ListCommand.self, CreateCommand.self, SubmitCommand.self,
                    GetCommand.self, TranslateCommand.self, DirtyCommand.self, HistoryCommand.self,
                    WatchCommand.self, MemoryCommand.self, ObserverCommand.self,
                    MetricsCommand.self, DestroyCommand.self, RecoverCommand.self,
                    AtomicCommand.self, CallCommand.self, StateCommand.self,
                ])
        ])

    private static var example: String {
        let (folder, file) = ("/../share/doc/memslots/examples/", "q35-seabios-boot.jsonl")
        let installed = realpath(OwnProgram.folder + folder + file, nil)
        return installed.map { String(cString: $0) } ?? "Fixtures/qemu/\(file)"
    }

    /// Runs the command. Output that can't be written is a failure.
    static func main() {
        do {
            let words = try CommandLineWords(Array(CommandLine.arguments.dropFirst()))
            Terminal.colour = words.colour
            var command = try parseAsRoot(words.rest)
            try command.run()
        } catch let error as UnusableFile {
            Terminal.complain(error.message)
            exit(withError: ExitCode.unusable)
        } catch {
            _ = Terminal.flush()
            exit(withError: error)
        }
        if !Terminal.flush() {
            exit(withError: ExitCode.failed("standard output can't be written: \(Errno.last.name)"))
        }
    }
}

/// The words of the command line without `--color`, after a check of the command's name.
private struct CommandLineWords {
    var rest: [String] = []
    var colour = Terminal.Colour.auto

    /// Throws if no command has the name, with the name that is meant; or a bad colour.
    init(_ words: [String]) throws {
        rest = words
        while let name = remove("--color") {
            let chosen = Terminal.Colour(rawValue: name)
            try require(chosen != nil, "--color: auto, always or never")
            colour = chosen ?? .auto
        }
        try check()
        try moveVM()
    }

    /// Removes an option that is before `--`, and returns its value, empty if it has none.
    private mutating func remove(_ option: String) -> String? {
        guard
            let place = rest.prefix(while: { $0 != "--" })
                .firstIndex(where: { $0 == option || $0.hasPrefix(option + "=") })
        else { return nil }
        let word = rest.remove(at: place)
        guard word == option else { return String(word.dropFirst(option.count + 1)) }
        return place < rest.endIndex ? rest.remove(at: place) : ""
    }

    /// Puts the name after `--vm` where the daemon's commands take it, as their first argument.
    private mutating func moveVM() throws {
        let commands = MemslotCtl.configuration.groupedSubcommands.flatMap(\.subcommands)
        guard let name = rest.first,
            commands.contains(where: { $0.configuration.commandName == name }),
            let vm = remove("--vm")
        else { return }
        try require(!vm.isEmpty && !vm.hasPrefix("-"), "--vm: name a VM")
        // `memory` and `observer` have commands of their own.
        let groups = [MemoryCommand.configuration, ObserverCommand.configuration]
        let index = groups.contains { $0.commandName == name } ? 2 : 1
        rest.insert(vm, at: min(index, rest.endIndex))
    }

    private func check() throws {
        let isHelp = rest.first == "help"
        guard let name = isHelp ? rest.dropFirst().first : rest.first, !name.hasPrefix("-") else {
            return
        }
        let commands =
            MemslotCtl.configuration.subcommands
            + MemslotCtl.configuration.groupedSubcommands.flatMap(\.subcommands)
        let names = commands.compactMap { $0.configuration.commandName } + ["help"]
        guard !names.contains(name) else { return }
        let lab = ["conform", "torture", "sweep", "exhaust", "simulate", "load", "crash"]
        let hint = nearestName(to: name, among: names).map { "did you mean '\($0)'?" }
        let program = OwnProgram.word(starting: lab.contains(name) ? "memslot-lab" : "memslotctl")
        throw ValidationError(
            "there is no command '\(Terminal.safe(name))'; "
                + (lab.contains(name)
                    ? "it is \(program) \(name)" : hint ?? "\(program) --help lists them"))
    }
}

extension ExitCode {
    static let unusable = ExitCode(2)

    /// The status of a failure, after printing the reason.
    static func failed(_ reason: String) -> ExitCode {
        Terminal.complain(reason)
        return .failure
    }
}

extension ArgumentHelp {
    static func number(_ text: String) -> ArgumentHelp { ArgumentHelp(text, valueName: "n") }
}

/// Throws a usage error with `message` unless `isMet`.
func require(_ isMet: Bool, _ message: @autoclosure () -> String) throws {
    guard isMet else { throw ValidationError(message()) }
}
