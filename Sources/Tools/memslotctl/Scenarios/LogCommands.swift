import ArgumentParser
import Glibc
import MemslotPicture
import MemslotScenario
import MemslotTrace
import Memslots

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

struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Report what a log shows of a VM's memory: holes, failed calls, findings.",
        discussion: """
            INPUT is what there is: a log of strace, QEMU's event kvm_set_user_memory or its error \
            lines, a syzkaller program, a record of memslotctl run, or a scenario. The files of \
            strace -ff (LOG.*) are one log. The slots are compared with an INPUT that is the text \
            of 'info mtree -f'.

            -o writes one page that needs no network: a time axis, the map at each moment, a \
            search by address, and the report. --json prints its data (Docs/Reports.md).

            Exit status: 0 read, 2 an input can't be used.
            """)

    @Option(
        name: [.short, .customLong("output")], help: "Write the report as a page to this file.",
        completion: .file(extensions: ["html"]))
    var output: String?

    @Flag(help: "Print the report as JSON, one line for each log.") var json = false
    @OptionGroup var grouping: GroupingOptions
    @Argument(help: "The logs; - is standard input.", completion: .file()) var inputs: [String]

    func run() throws {
        var options = grouping.options
        options.acceptsUndecoded = true
        let read = try EvidenceInput.all(inputs, options)
        let views = read.compactMap { if case .view(let view) = $0.evidence { view } else { nil } }
        guard views.count <= 1 else {
            throw UnusableFile("name one text of 'info mtree -f'; there are \(views.count)")
        }
        let view = views.first
        var reports: [RunAudit] = []
        for input in read {
            guard case .calls(var result) = input.evidence else { continue }
            result.report.view = view
            // Such a record has what the VMM asked for. The guest saw the commits alone.
            result.report.isHypothetical = result.scenario.source.hasPrefix(
                RunRecording.atomicSource)
            let run = result.run
            var audit = RunAudit(
                recording: run ?? RunRecording(), imported: result, isAtomic: run != nil)
            options.name = result.scenario.name
            // Without some records the rest would contradict itself.
            if let run, run.lost == 0 {
                audit.committed = try? run.importedCommits(options: options)
            }
            reports.append(audit)
        }
        if let output {
            guard let only = reports.first, reports.count == 1 else {
                throw UnusableFile("-o writes the page of one log; \(reports.count) are named")
            }
            try OutputFile.write(only.document.page, to: output)
        }
        for (place, report) in reports.enumerated() {
            if json {
                Terminal.write(report.document.json + [0x0a])
            } else {
                Terminal.print((place > 0 ? "\n" : "") + report.text)
            }
        }
        guard reports.isEmpty, let view else { return }
        Terminal.print(
            "\(counted(view.rows.count, "range")) of memory, as QEMU means it; memslotctl map draws it, "
                + "and a log beside it is compared with it")
    }
}
