import ArgumentParser
import MemslotPicture
import MemslotScenario
import MemslotTrace

struct ImportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Convert an strace log of a VMM to a scenario.",
        discussion: """
            Record with:
              strace -f -ttt -X verbose -e trace=ioctl -o LOG VMM …

            The scenario is written to standard output. A report of the holes that the VMM left in \
            its guest's memory is written to standard error.

            A transaction is a sequence of slot calls of one thread. It ends at a slot call of \
            another thread, when the thread enters KVM_RUN, or, for threads that never do, at a \
            pause.
            """)

    @Option(
        name: .customLong("gap-ms"), help: "The pause that ends a transaction, in milliseconds.")
    var gapMilliseconds: UInt64 = 10

    @Argument(help: "The log; - is standard input.", completion: .file())
    var trace: String

    func run() throws {
        let input = try InputFile(trace)
        var options = TraceImporter.Options()
        options.gapMilliseconds = gapMilliseconds
        options.name = Self.baseName(of: trace)
        var importer = TraceImporter(options: options)
        do {
            try input.forEachChunk { importer.consume($0) }
            let result = try importer.finish()
            result.scenario.forEachLine { Terminal.write($0) }
            Terminal.writeError(result.report.text)
        } catch let error as TraceError {
            Terminal.complain("\(input.name): \(error)")
            throw ExitCode.unusable
        }
    }

    private static func baseName(of path: String) -> String {
        if path == "-" { return "trace" }
        let name = path.split(separator: "/").last.map(String.init) ?? path
        guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return name }
        return String(name[..<dot])
    }
}
