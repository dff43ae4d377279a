import ArgumentParser
import Glibc

/// Measures the project beside its yardsticks.
@main
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "memslot-bench",
        abstract: "Measure the project and its yardsticks in one run, and print the ratios.",
        discussion: """
            Build with -c release. Medians of many rounds in which all take turns; a missed \
            target is told, and is no failure. What this machine can't do is skipped by name.
            """)

    @Argument(help: "lookup, diff, apply, wire, start, growth or all.")
    var parts: [String] = ["all"]

    @Flag(help: "Print one JSON object and nothing else.")
    var json = false

    @Flag(help: "A few rounds only: shows that everything works, and says little more.")
    var quick = false

    @Option(help: ArgumentHelp("Draw the figures into a file.", valueName: "file"))
    var svg: String?

    @Option(
        help: ArgumentHelp(
            "Write the tables into a file: between its marks, where it has any.",
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
        return chosen
    }

    func run() throws {
        let report: BenchmarkReport
        do throws(BenchmarkError) {
            report = try BenchmarkReport.measure(
                BenchmarkPart.allCases.filter(Set((try? chosen()) ?? []).contains),
                effort: quick ? .quick : .full, progress: Self.say)
        } catch {
            Self.say("the run is no good: \(error)")
            throw ExitCode(1)
        }
        if json {
            print(ReportJSON(report).text)
        } else {
            for line in ReportText(report).lines { print(line) }
        }
        if let svg { try write(ReportPlot(report).svg, to: svg) }
        if let markdown { try write(document(report, markdown), to: markdown) }
    }

    /// The file with the marked sections that were measured, or a new one.
    private func document(_ report: BenchmarkReport, _ path: String) -> String {
        let markdown = ReportMarkdown(report)
        guard let present = File.read(path) else { return markdown.text }
        var document = MarkedDocument(present)
        for (name, text) in markdown.sections where !document.replace(name, by: text) {
            Self.say("\(path) has no section for \(name)")
        }
        return document.text
    }

    private func write(_ text: String, to path: String) throws {
        guard File.write(text, to: path) else {
            Self.say("\(path) can't be written")
            throw ExitCode(1)
        }
    }

    /// Tells what goes on, beside the figures.
    private static func say(_ text: String) {
        let bytes = Array((text + "\n").utf8)
        // What can't be told is no reason to stop measuring.
        _ = Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }
}

/// Whole files of text.
private enum File {
    static func read(_ path: String) -> String? {
        guard let file = fopen(path, "re") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 1 << 16)
        while case let count = fread(&room, 1, room.count, file), count > 0 {
            bytes += room[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    static func write(_ text: String, to path: String) -> Bool {
        guard let file = fopen(path, "we") else { return false }
        let bytes = Array(text.utf8)
        let isWhole = fwrite(bytes, 1, bytes.count, file) == bytes.count
        return fclose(file) == 0 && isWhole
    }
}
