import Glibc
import MemslotPicture

/// How much of its target each figure of a report uses, as bars on a logarithmic scale.
package struct ReportPlot {
    let report: BenchmarkReport

    package var svg: String {
        var canvas = SVGCanvas(style: String(decoding: PackageResources.plot_css, as: UTF8.self))
        let height = draw(report.targeted, on: &canvas)
        canvas.text(report.machine.text, x: 24, y: height + 8, class: "muted")
        return canvas.document(
            width: 980, height: Int(height) + 24, title: "memslots: measured beside yardsticks")
    }

    private static let left = 470.0, right = 860.0, step = 19.0, head = 62.0
    /// The shares at the ends of the scale, as powers of 2.
    private static let ends = -5...3

    /// Draws the bars, and returns the height that they take.
    private func draw(_ rows: [BenchmarkRow], on canvas: inout SVGCanvas) -> Double {
        let top = 12.0
        guard !rows.isEmpty else { return top }
        canvas.text("How much of its target each figure uses", x: 24, y: top + 24, class: "title")
        canvas.text(
            "left of the dashed line: met; a step of the grid is a factor of 2", x: 24, y: top + 44,
            class: "muted")
        let bottom = top + Self.head + Self.step * Double(rows.count)
        for exponent in Self.ends {
            let x = place(exp2(Double(exponent)))
            canvas.line(
                from: (x, top + Self.head - 6), to: (x, bottom),
                class: exponent == 0 ? "limit" : "grid")
            if exponent >= 0 {
                canvas.text("\(1 << exponent)", x: x, y: bottom + 18, class: "centre")
            }
        }
        for (index, row) in rows.enumerated() {
            draw(row, at: top + Self.head + Self.step * Double(index), on: &canvas)
        }
        return bottom + 34
    }

    private func draw(_ row: BenchmarkRow, at y: Double, on canvas: inout SVGCanvas) {
        guard let target = row.target else { return }
        let end = place(target.share(of: row))
        let claim = row.claim.count <= 76 ? row.claim : row.claim.prefix(75) + "…"
        canvas.text(claim, x: Self.left - 10, y: y + 13, class: "end")
        canvas.rect(
            x: Self.left, y: y + 3, width: end - Self.left, height: Self.step - 6,
            class: row.isMet == true ? "met" : "missed", radius: 2)
        var figure = row.unit.text(row.measured.median)
        if case .ratioAtMost = target, let ratio = row.ratio { figure = ratioText(ratio) }
        canvas.text(figure, x: Self.right + 8, y: y + 13, class: "muted")
    }

    /// Where a share is on the scale; at an end if it is beyond.
    private func place(_ share: Double) -> Double {
        let low = exp2(Double(Self.ends.lowerBound))
        let high = exp2(Double(Self.ends.upperBound))
        let value = max(min(share, high), low)
        return Self.left + (Self.right - Self.left) * log(value / low) / log(high / low)
    }
}
