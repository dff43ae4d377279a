/// A report for a terminal.
package struct ReportText {
    private let report: BenchmarkReport

    /// Shows `report`.
    package init(_ report: BenchmarkReport) { self.report = report }

    /// The heading, one table a part, and what was met.
    package var lines: [String] {
        var lines = [report.machine.text]
        for section in report.sections {
            lines += ["", section.part.title]
            let cells = [Self.heading] + section.rows.map(Self.cells)
            let widths = Self.heading.indices.map { column in
                cells.map { $0[column].count }.max() ?? 0
            }
            lines += cells.map { Self.line($0, widths) }
            lines += section.skipped.map { "  skipped: \($0)" }
        }
        lines += ["", summary]
        return lines
    }

    /// How many targets were met, and which were not.
    var summary: String {
        let judged = report.judged
        let missed = judged.filter { $0.isMet == false }
        let text = "\(judged.count - missed.count) of \(judged.count) targets met"
        return missed.isEmpty
            ? text : text + "; missed: " + missed.map(\.claim).joined(separator: "; ")
    }

    private static let heading = [
        "what", "median", "p10–p90", "yardstick", "its median", "ratio", "target", "",
    ]

    /// The cells of a row, in the order of the heading.
    static func cells(_ row: BenchmarkRow) -> [String] {
        [
            row.title, row.unit.text(row.measured.median), spread(row.measured, row.unit),
            row.yardstick ?? "", row.yardstickMeasured.map { row.unit.text($0.median) } ?? "",
            row.ratio.map(ratioText) ?? "", row.target?.text(in: row.unit) ?? "",
            row.isMet.map { $0 ? "met" : "missed" } ?? "",
        ]
    }

    private static func spread(_ spread: Spread, _ unit: BenchmarkUnit) -> String {
        "\(unit.text(spread.low)) – \(unit.text(spread.high))"
    }

    private static func line(_ cells: [String], _ widths: [Int]) -> String {
        var line = " "
        for (index, cell) in cells.enumerated() {
            let room = String(repeating: " ", count: max(0, widths[index] - cell.count))
            // Words to the left, figures to the right.
            line += index == 0 || index == 3 || index == 7 ? " " + cell + room : " " + room + cell
            line += " "
        }
        while line.last == " " { line.removeLast() }
        return line
    }
}

/// A report as Markdown: the sections that `Docs/Performance.md` marks, by name.
package struct ReportMarkdown {
    private let report: BenchmarkReport

    /// Shows `report`.
    package init(_ report: BenchmarkReport) { self.report = report }

    /// Each section of the document that was measured: `machine`, `summary`, and the parts.
    package var sections: [(name: String, text: String)] {
        [("machine", report.machine.text + "."), ("summary", summary)]
            + report.sections.map { ($0.part.rawValue, table($0)) }
    }

    /// All in one, for a file of its own.
    package var text: String {
        "# Performance\n\n\(report.machine.text).\n\n\(summary)\n"
            + report.sections.map { "\n## \($0.part.title)\n\n\(table($0))\n" }.joined()
    }

    private var summary: String {
        let judged = report.judged
        let missed = judged.filter { $0.isMet == false }
        var text = "\(judged.count - missed.count) of \(judged.count) targets are met."
        if !missed.isEmpty {
            text += " Missed:\n\n"
            text += missed.map { row in
                let figure = row.ratio.map(ratioText) ?? ""
                return "- \(row.title): \(row.unit.text(row.measured.median))"
                    + (figure.isEmpty ? "" : ", \(figure) \(row.yardstick ?? "")")
                    + ", to reach \(row.target?.text(in: row.unit) ?? "")"
            }.joined(separator: "\n")
        }
        return text
    }

    private func table(_ section: BenchmarkReport.Section) -> String {
        var lines = [
            "| what | median | p10 – p90 | yardstick | its median | ratio | to reach | |",
            "|---|--:|--:|---|--:|--:|--:|---|",
        ]
        lines += section.rows.map { row in
            let cells = ReportText.cells(row).map(Self.escaped)
            return "| " + cells.joined(separator: " | ") + " |"
        }
        if !section.skipped.isEmpty { lines.append("") }
        lines += section.skipped.map { "Skipped: \($0)." }
        return lines.joined(separator: "\n")
    }

    private static func escaped(_ cell: String) -> String {
        var text = ""
        for character in cell { text += character == "|" ? "\\|" : String(character) }
        return text
    }
}

/// A Markdown document in which a tool keeps what stands between marks.
///
/// A section begins with a line `<!-- bench:NAME -->` and ends with `<!-- /bench -->`; everything
/// else is its author's.
package struct MarkedDocument {
    /// The document as it is now.
    package private(set) var text: String

    /// A document as it was read.
    package init(_ text: String) { self.text = text }

    /// Puts `content` between the marks of a section.
    ///
    /// - Returns: whether there is such a section, with its end.
    @discardableResult
    package mutating func replace(_ name: String, by content: String) -> Bool {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard let begin = lines.firstIndex(of: "<!-- bench:\(name) -->"),
            let end = lines[begin...].firstIndex(of: Self.end)
        else { return false }
        // A section without an end would swallow the next.
        guard !lines[(begin + 1)..<end].contains(where: { $0.hasPrefix("<!-- bench:") }) else {
            return false
        }
        let inner = ["\n" + content + "\n"].joined().split(
            separator: "\n", omittingEmptySubsequences: false)
        lines.replaceSubrange((begin + 1)..<end, with: inner)
        text = lines.joined(separator: "\n")
        return true
    }

    private static let end: Substring = "<!-- /bench -->"
}
