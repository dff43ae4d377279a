import ArgumentParser
import MemslotPicture
import MemslotScenario
import MemslotTrace
import Memslots

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
