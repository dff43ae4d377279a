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
                    GetCommand.self, TranslateCommand.self, DirtyCommand.self,
                    HistoryCommand.self, WatchCommand.self, MemoryCommand.self,
                    ObserverCommand.self, MetricsCommand.self, DestroyCommand.self,
                    RecoverCommand.self,
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
            let reason = Errno(rawValue: errno).name
            Terminal.complain("standard output can't be written: \(reason)")
            exit(withError: ExitCode.failure)
        }
    }
}

/// The words of the command line without `--color`, after a check of the command's name. `--vm NAME`
/// names the VM of every command that has one.
private struct CommandLineWords {
    var rest: [String] = []
    var colour = Terminal.Colour.auto

    /// - Throws: if no command has the name, with the name that is meant; or a bad colour.
    init(_ words: [String]) throws {
        let end = words.firstIndex(of: "--") ?? words.endIndex
        var index = 0
        while index < end {
            defer { index += 1 }
            guard words[index] == "--color" || words[index].hasPrefix("--color=") else {
                rest.append(words[index])
                continue
            }
            let isJoined = words[index].hasPrefix("--color=")
            let name =
                isJoined
                ? String(words[index].dropFirst(8)) : words[min(index + 1, words.endIndex - 1)]
            if !isJoined { index += 1 }
            let chosen = Terminal.Colour(rawValue: name)
            try require(chosen != nil, "--color: auto, always or never")
            colour = chosen ?? .auto
        }
        rest += words[end...]
        try check()
        try moveVM()
    }

    /// Puts the name after `--vm` where the daemon's commands take it, as their first argument.
    private mutating func moveVM() throws {
        let commands = MemslotCtl.configuration.groupedSubcommands.flatMap(\.subcommands)
        guard let name = rest.first,
            commands.contains(where: { $0.configuration.commandName == name }),
            let place = rest.prefix(while: { $0 != "--" })
                .firstIndex(where: { $0 == "--vm" || $0.hasPrefix("--vm=") })
        else { return }
        let word = rest.remove(at: place)
        try require(
            word != "--vm" || rest[place...].first?.hasPrefix("-") == false, "--vm: name a VM")
        let vm = word == "--vm" ? rest.remove(at: place) : String(word.dropFirst(5))
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
}

/// - Throws: a usage error with `message` unless `isMet`.
func require(_ isMet: Bool, _ message: @autoclosure () -> String) throws {
    guard isMet else { throw ValidationError(message()) }
}
