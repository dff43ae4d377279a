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
