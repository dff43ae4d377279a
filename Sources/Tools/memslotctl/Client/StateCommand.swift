import ArgumentParser
import MemslotPicture
import MemslotScenario
import MemslotService
import Memslots

struct StateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "state",
        abstract: "Check or repair the state directory of a daemon that was stopped.",
        discussion: """
            repair restores a record that was cut within its checksum, or of which one byte was \
            changed. The damaged file stays beside it. Root may examine any user's directory. \
            Exit status: 0 if each VM has a valid record, 1 if not, 2 if a daemon runs on it.
            """)

    enum Action: String, ExpressibleByArgument, CaseIterable { case check, repair }

    @Argument var action: Action
    @Argument(help: "The daemon's --state-dir.", completion: .directory) var directory: String

    func run() throws {
        let findings = try converting(
            { (error: StateError) in UnusableFile(error.message) },
            StateCheck.run(at: directory, repairs: action == .repair))
        Terminal.print(findings.map { "\($0.file): \(Terminal.safe($0.text))" })
        if findings.isEmpty { Terminal.print("no records") }
        if findings.contains(where: \.isLoss) { throw ExitCode.failure }
    }
}
