import ArgumentParser
import Glibc
import MemslotPicture
import MemslotScenario
import MemslotTrace

struct ImportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import", abstract: "Convert a log of a VMM's slot calls to a scenario.",
        discussion: """
            Record with:
              strace -f -ttt -T -X verbose -e trace=ioctl -o LOG VMM …

            The lines of QEMU's event kvm_set_user_memory, QEMU's error lines and syzkaller \
            programs are read too, and logs that were wrapped, quoted or cut (Docs/Reports.md).

            The scenario is written to FILE, or to standard output if that is no terminal. A \
            report of the holes that the VMM left in its guest's memory is printed, to standard \
            error if the scenario goes to standard output.

            A transaction is a sequence of slot calls of one thread. It ends at a slot call of \
            another thread, when the thread enters KVM_RUN, or, for threads that never do, at a \
            pause.

            Exit status: 0 read, 2 the log can't be used.
            """)

    @Option(
        name: [.short, .customLong("output")], help: "Write the scenario to this file.",
        completion: .file(extensions: ["jsonl"]))
    var output: String?

    @OptionGroup var grouping: GroupingOptions
    @Argument(help: "The log; - is standard input.", completion: .file()) var trace: String

    func run() throws {
        let input = try EvidenceInput(trace, grouping.options)
        guard case .calls(let result) = input.evidence else {
            throw UnusableFile(
                "\(input.name): shows the memory that is meant, and no calls. memslotctl map draws "
                    + "it, and memslotctl plan compares two")
        }
        if let output {
            var bytes: [UInt8] = []
            result.scenario.forEachLine { bytes += $0 }
            try OutputFile.write(bytes, to: output)
            Terminal.print(result.report.text)
        } else if Terminal.isTerminal(STDOUT_FILENO) {
            Terminal.print(result.report.text)
            Terminal.complain("The scenario was not written; name a file for it: -o FILE")
        } else {
            result.scenario.forEachLine { Terminal.write($0) }
            Terminal.complain(result.report.text)
        }
    }
}
