import MemslotPicture

/// A report as one picture: the targets as bars, and growth as curves.
package struct ReportPlot {
    let report: BenchmarkReport

    package var svg: String {
        var canvas = SVGCanvas(style: Self.style)
        let targets = TargetPlot(rows: report.targeted)
        var height = 12.0
        if !targets.rows.isEmpty {
            targets.draw(at: height, on: &canvas)
            height += targets.height
        }
        for plot in curves where !plot.curves.isEmpty {
            plot.draw(at: height, on: &canvas)
            height += CurvePlot.height
        }
        canvas.text(report.machine.text, x: 24, y: height + 8, class: "muted")
        return canvas.document(
            width: Int(TargetPlot.width), height: Int(height) + 24,
            title: "memslots: measured beside yardsticks")
    }

    private var curves: [CurvePlot] {
        let lookup = report.rows(of: .lookup)
        let names = [
            ProjectLookup.fastest.name, YardstickTable.vmMemory, "C, branchless binary search",
            YardstickTable.lastHit,
        ]
        let patterns = [AddressPattern.random, .inRow].map { pattern in
            CurvePlot(
                title: "One translation, \(pattern.rawValue) addresses, known beforehand",
                curves: names.compactMap { name in
                    curve(
                        name, lookup,
                        named: "\(name), \(pattern.rawValue), \(AddressOrdering.known.rawValue)")
                })
        }
        let diff = report.rows(of: .diff)
        let scenarios = DiffScenario.allCases.compactMap { scenario in
            curve(scenario.rawValue, diff, named: "validate, diff, plan: \(scenario.rawValue)")
        }
        return patterns + [CurvePlot(title: "Validate, diff and plan", curves: scenarios)]
    }

    /// The rows of a name, each number of slots once.
    private func curve(
        _ title: String, _ rows: [BenchmarkRow], named name: String
    ) -> (name: String, points: [(slots: Int, nanoseconds: Double)])? {
        var points: [Int: Double] = [:]
        for row in rows where row.name == name {
            if let slots = row.slots { points[slots] = row.measured.median }
        }
        let sorted = points.sorted { $0.key < $1.key }
        return sorted.isEmpty ? nil : (title, sorted.map { ($0.key, $0.value) })
    }

    private static let style = """
        text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", \
        sans-serif; font-size: 12px; fill: #1c2330; }
        .page { fill: #ffffff; }
        .title { font-size: 16px; font-weight: 650; }
        .muted, .end-muted, .centre { fill: #5b6577; }
        .end, .end-muted { text-anchor: end; }
        .centre { text-anchor: middle; }
        .grid { stroke: #e1e5ec; }
        .limit { stroke: #1c2330; stroke-width: 1.5; stroke-dasharray: 5 3; }
        .met { fill: #35a354; }
        .missed { fill: #d6455c; }
        .curve { fill: none; stroke-width: 2; stroke-linejoin: round; }
        .a { stroke: #2f6fd6; } .b { stroke: #d98324; } .c { stroke: #7d8799; }
        .d { stroke: #35a354; } .e { stroke: #9a5bd0; }
        .dot.a, .key.a { fill: #2f6fd6; } .dot.b, .key.b { fill: #d98324; }
        .dot.c, .key.c { fill: #7d8799; } .dot.d, .key.d { fill: #35a354; }
        .dot.e, .key.e { fill: #9a5bd0; }
        @media (prefers-color-scheme: dark) {
        text { fill: #e6eaf0; }
        .page { fill: #12161d; }
        .muted, .end-muted, .centre { fill: #98a3b3; }
        .grid { stroke: #2b3340; }
        .limit { stroke: #e6eaf0; }
        .a { stroke: #6b9bf0; }
        .dot.a, .key.a { fill: #6b9bf0; }
        }
        """
}
