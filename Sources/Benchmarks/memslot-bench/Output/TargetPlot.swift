import Glibc

/// How far each target is from being reached, as bars on a scale of factors.
struct TargetPlot {
    let rows: [BenchmarkRow]

    static let width = 980.0
    private static let left = 470.0
    private static let right = 860.0
    private static let step = 19.0
    private static let head = 62.0
    /// Factors at the ends of the scale.
    private static let scale = (low: 1.0 / 32, high: 8.0)

    var height: Double { Self.head + Self.step * Double(rows.count) + 34 }

    /// Draws from `top` down.
    func draw(at top: Double, on canvas: inout PlotCanvas) {
        canvas.text("How much of its target each figure takes", 24, top + 24, "title")
        canvas.text(
            "left of the dashed line: reached; a step of the grid is a factor of 2", 24, top + 44,
            "muted")
        let bottom = top + Self.head + Self.step * Double(rows.count)
        var factor = Self.scale.low
        while factor <= Self.scale.high {
            let x = place(factor)
            canvas.line(x, top + Self.head - 6, x, bottom, factor == 1 ? "limit" : "grid")
            let isNamed = factor == 1 || log2(factor).truncatingRemainder(dividingBy: 2) == 1
            if isNamed || factor > 1 { canvas.text(name(factor), x, bottom + 18, "centre") }
            factor *= 2
        }
        for (index, row) in rows.enumerated() {
            draw(row, at: top + Self.head + Self.step * Double(index), on: &canvas)
        }
    }

    private func draw(_ row: BenchmarkRow, at y: Double, on canvas: inout PlotCanvas) {
        guard let target = row.target else { return }
        let share = target.share(of: row)
        let end = place(share)
        canvas.text(shortened(row.claim), Self.left - 10, y + 13, "end")
        canvas.rect(
            Self.left, y + 3, end - Self.left, Self.step - 6, row.isMet == true ? "met" : "missed")
        canvas.text(figure(row, target), Self.right + 8, y + 13, "muted")
    }

    private func shortened(_ text: String) -> String {
        text.count <= 76 ? text : text.prefix(75) + "…"
    }

    private func figure(_ row: BenchmarkRow, _ target: BenchmarkTarget) -> String {
        guard case .ratioAtMost = target, let ratio = row.ratio else {
            return row.unit.text(row.measured.median)
        }
        return ratioText(ratio)
    }

    private func name(_ factor: Double) -> String {
        factor < 1 ? "1/\(Int(1 / factor))" : "\(Int(factor))"
    }

    private func place(_ factor: Double) -> Double {
        let clamped = min(max(factor, Self.scale.low), Self.scale.high)
        let span = log2(Self.scale.high / Self.scale.low)
        return Self.left + (Self.right - Self.left) * log2(clamped / Self.scale.low) / span
    }
}
