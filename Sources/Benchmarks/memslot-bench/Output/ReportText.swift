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
