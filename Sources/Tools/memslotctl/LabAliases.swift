import ArgumentParser
import Glibc
import MemslotPicture
import Memslots

/// The commands that moved to `memslot-lab`: each executes the `memslot-lab` beside this program.
/// They are hidden, and go with the next version.
enum LabAliases {
    static let all: [any ParsableCommand.Type] = [
        Conform.self, Torture.self, Sweep.self, Exhaust.self, Simulate.self, Load.self, Crash.self,
    ]

    struct Conform: LabAlias { @Argument(parsing: .captureForPassthrough) var words: [String] = [] }
    struct Torture: LabAlias { @Argument(parsing: .captureForPassthrough) var words: [String] = [] }
    struct Sweep: LabAlias { @Argument(parsing: .captureForPassthrough) var words: [String] = [] }
    struct Exhaust: LabAlias { @Argument(parsing: .captureForPassthrough) var words: [String] = [] }
    struct Simulate: LabAlias {
        @Argument(parsing: .captureForPassthrough) var words: [String] = []
    }
    struct Load: LabAlias { @Argument(parsing: .captureForPassthrough) var words: [String] = [] }
    struct Crash: LabAlias { @Argument(parsing: .captureForPassthrough) var words: [String] = [] }
}

/// A command that `memslot-lab` has under the same name.
protocol LabAlias: ParsableCommand {
    /// The words after the command, passed as they are.
    var words: [String] { get }
}

extension LabAlias {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: name, abstract: "Moved to memslot-lab \(name).", shouldDisplay: false)
    }

    private static var name: String { String(describing: Self.self).lowercased() }

    func run() throws {
        var path = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = readlink("/proc/self/exe", &path, path.count - 1)
        let own = String(
            decoding: path.prefix(max(0, length)).map(UInt8.init(bitPattern:)), as: UTF8.self)
        let folder = own.lastIndex(of: "/").map { own[..<$0] } ?? "."
        let program = "\(folder)/memslot-lab"
        var arguments = ([program, Self.name] + words).map { strdup($0) } + [nil]
        execv(program, &arguments)
        let reason = Errno(rawValue: errno).name
        for argument in arguments { free(argument) }
        Terminal.complain("\(program): can't be executed: \(reason)")
        Terminal.complain(
            "Build it with: swift build -c release --product memslot-lab")
        throw ExitCode.failure
    }
}
