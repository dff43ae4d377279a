import ArgumentParser
import Glibc
import MemslotPicture
import Memslots

/// The commands that moved to `memslot-lab`. Each executes the `memslot-lab` beside this program.
///
/// They are hidden, and the next version removes them.
enum LabAliases {
    static let all: [any ParsableCommand.Type] = [
        Conform.self, Torture.self, Sweep.self, Exhaust.self, Simulate.self, Load.self, Crash.self,
    ]

    struct Conform: LabAlias { @OptionGroup var words: Words }
    struct Torture: LabAlias { @OptionGroup var words: Words }
    struct Sweep: LabAlias { @OptionGroup var words: Words }
    struct Exhaust: LabAlias { @OptionGroup var words: Words }
    struct Simulate: LabAlias { @OptionGroup var words: Words }
    struct Load: LabAlias { @OptionGroup var words: Words }
    struct Crash: LabAlias { @OptionGroup var words: Words }

    /// The words after the command, passed unchanged.
    struct Words: ParsableArguments {
        @Argument(parsing: .captureForPassthrough) var all: [String] = []
    }
}

/// A command that executes the `memslot-lab` command of the same name.
protocol LabAlias: ParsableCommand {
    var words: LabAliases.Words { get }
}

extension LabAlias {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: name, abstract: "Moved to memslot-lab \(name).", shouldDisplay: false)
    }

    private static var name: String { String(describing: Self.self).lowercased() }

    func run() throws {
        let program = OwnProgram.folder + "/memslot-lab"
        var arguments = ([program, Self.name] + words.all).map { strdup($0) } + [nil]
        execv(program, &arguments)
        let reason = Errno(rawValue: errno).name
        for argument in arguments { free(argument) }
        Terminal.complain("\(program): can't be executed: \(reason)")
        Terminal.complain("Build it with: swift build -c release --product memslot-lab")
        throw ExitCode.failure
    }
}
