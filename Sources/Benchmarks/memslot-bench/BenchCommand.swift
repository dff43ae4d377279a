import ArgumentParser
import MemslotPicture
import MemslotTestKit

@main
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "memslot-bench",
        abstract: "Measure the project and its yardsticks in one run, and print the ratios.",
        discussion: """
            Build with -c release. Figures are medians of many rounds in which all contestants take \
            turns. A missed target is reported and is not a failure. A benchmark that this machine \
            cannot run is skipped and named.

            Exit status: 0 everything was measured; 1 a benchmark gave a wrong result, or a file \
            could not be written.
            """)

    @Argument(help: "lookup, diff, apply, holds, wire, start, growth or all.")
    var parts: [String] = ["all"]

    @Flag(help: "Print one JSON object and nothing else.") var json = false

    @Flag(help: "Run a few rounds only: checks that every benchmark works.") var quick = false

    @Option(help: ArgumentHelp("Draw the figures into a file.", valueName: "file")) var svg: String?

    @Option(
        help: ArgumentHelp(
            "Write the full tables into a file. Parts that were not measured keep their tables.",
            valueName: "file"))
    var markdown: String?

    func validate() throws { _ = try chosen() }

    private func chosen() throws -> [BenchmarkPart] {
        var chosen: [BenchmarkPart] = []
        for name in parts {
            if name == "all" { return BenchmarkPart.allCases }
            guard let part = BenchmarkPart(rawValue: name) else {
                let names = BenchmarkPart.allCases.map(\.rawValue).joined(separator: ", ")
                throw ValidationError("\"\(name)\" is none of \(names), all")
            }
            if !chosen.contains(part) { chosen.append(part) }
        }
        return BenchmarkPart.allCases.filter(chosen.contains)
    }

    func run() throws {
        let report: BenchmarkReport
        let parts = try chosen()
        do {
            report = try BenchmarkReport.measure(
                parts, effort: quick ? .quick : .full, progress: Terminal.complain)
        } catch {
            Terminal.complain("no figures: \(error)")
            throw ExitCode(1)
        }
        if json {
            print(try report.json)
        } else {
            for line in ReportText(report: report).lines { print(line) }
        }
        if let svg { try write(ReportPlot(report: report).svg, to: svg) }
        if let markdown {
            let present = Files.text(of: markdown) ?? ReportMarkdown.emptyDocument
            try write(ReportMarkdown(report: report).update(present), to: markdown)
        }
    }

    private func write(_ text: String, to path: String) throws {
        guard Files.write(Array(text.utf8), to: path) else {
            Terminal.complain("\(path) can't be written")
            throw ExitCode(1)
        }
    }
}
