import MemslotPicture

/// A report as one picture: the targets as bars, and growth as curves.
package struct ReportPlot {
    let report: BenchmarkReport

    package var svg: String {
        var canvas = SVGCanvas(style: String(decoding: PackageResources.plot_css, as: UTF8.self))
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
            ProjectLookup.fastest.name, YardstickTable.vmMemory, YardstickTable.radix,
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
}
