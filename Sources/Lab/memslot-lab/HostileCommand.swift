import ArgumentParser
import Glibc
import MemslotPicture
import Memslots

/// Executes `Sources/Lab/hostile`, a program in Python 3: in a checkout, or where it is installed.
struct HostileCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hostile",
        abstract: "Attack a daemon as its users, and compare what it reports with the kernel.",
        discussion: """
            Needs Python 3.9; --help has the options.

              memslot-lab hostile --seed 7 --seconds 20
            """)

    @Argument(parsing: .captureForPassthrough) var arguments: [String] = []

    func run() throws {
        let folder = OwnProgram.folder
        let installed = folder + "/../lib/memslots/hostile/hostile"
        let checkout = folder.ranges(of: "/.build/").last.map { folder[..<$0.lowerBound] }
        let program = checkout.map { $0 + "/Sources/Lab/hostile/hostile" } ?? installed
        setenv("MEMSLOTD", folder + "/memslotd", 0)
        var words = ([program] + arguments).map { strdup($0) } + [nil]
        execv(program, &words)
        Terminal.complain("\(program): can't be executed: \(Errno(rawValue: errno).name)")
        throw ExitCode.unusable
    }
}
