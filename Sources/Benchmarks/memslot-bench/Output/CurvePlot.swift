import Glibc
import MemslotPicture

/// Times over the number of slots, both on logarithmic scales.
struct CurvePlot {
    let title: String
    /// At most five; each with its points in ascending order of slots.
    let curves: [(name: String, points: [(slots: Int, nanoseconds: Double)])]

    static let height = 320.0
    private static let top = 50.0, bottom = 270.0, left = 70.0, right = 560.0
    private static let classes = ["a", "b", "c", "d", "e"]

    func draw(at top: Double, on canvas: inout SVGCanvas) {
        let points = curves.flatMap(\.points)
        guard let fewest = points.map(\.slots).min(), let most = points.map(\.slots).max(),
            let low = points.map(\.nanoseconds).min(), let high = points.map(\.nanoseconds).max(),
            fewest > 0, low > 0
        else { return }
        let columns = Axis(
            low: Double(fewest), high: Double(max(most, fewest * 2)), from: Self.left,
            to: Self.right)
        let rows = Axis(
            low: pow(10, log10(low).rounded(.down)), high: pow(10, log10(high).rounded(.up)),
            from: top + Self.bottom, to: top + Self.top)
        canvas.text(title, x: 24, y: top + 24, class: "title")
        for decade in rows.steps(of: 10) {
            let y = rows.place(decade)
            canvas.line(from: (Self.left, y), to: (Self.right, y), class: "grid")
            canvas.text(
                BenchmarkUnit.nanoseconds.text(decade), x: Self.left - 8, y: y + 4,
                class: "end-muted")
        }
        for slots in Set(points.map(\.slots)).sorted() {
            let x = columns.place(Double(slots))
            canvas.line(from: (x, top + Self.top), to: (x, top + Self.bottom), class: "grid")
            canvas.text(grouped(slots), x: x, y: top + Self.bottom + 18, class: "centre")
        }
        canvas.text("slots", x: Self.right, y: top + Self.bottom + 36, class: "end-muted")
        for (index, curve) in curves.prefix(Self.classes.count).enumerated() {
            let name = Self.classes[index]
            canvas.curve(
                curve.points.map { (columns.place(Double($0.slots)), rows.place($0.nanoseconds)) },
                class: name)
            let y = top + Self.top + 20 + 22 * Double(index)
            canvas.rect(
                x: Self.right + 24, y: y - 9, width: 18, height: 9, class: "key " + name, radius: 2)
            canvas.text(curve.name, x: Self.right + 50, y: y, class: "label")
        }
    }
}

/// A logarithmic scale.
private struct Axis {
    let low, high, from, to: Double

    func place(_ value: Double) -> Double {
        from + (to - from) * log(max(value, low) / low) / log(max(high / low, 1.01))
    }

    /// The values on it, each so many times the one before.
    func steps(of factor: Double) -> [Double] {
        Array(sequence(first: low) { $0 * factor <= high * 1.001 ? $0 * factor : nil })
    }
}

/// How much of its target each figure uses, as bars on a logarithmic scale.
struct TargetPlot {
    let rows: [BenchmarkRow]

    static let width = 980.0
    private static let left = 470.0, right = 860.0, step = 19.0, head = 62.0
    private static let scale = Axis(low: 1.0 / 32, high: 8, from: left, to: right)

    var height: Double { Self.head + Self.step * Double(rows.count) + 34 }

    /// Draws from `top` down.
    func draw(at top: Double, on canvas: inout SVGCanvas) {
        canvas.text("How much of its target each figure uses", x: 24, y: top + 24, class: "title")
        canvas.text(
            "left of the dashed line: met; a step of the grid is a factor of 2", x: 24, y: top + 44,
            class: "muted")
        let bottom = top + Self.head + Self.step * Double(rows.count)
        for factor in Self.scale.steps(of: 2) {
            let x = place(factor)
            canvas.line(
                from: (x, top + Self.head - 6), to: (x, bottom),
                class: factor == 1 ? "limit" : "grid")
            let isNamed = factor == 1 || log2(factor).truncatingRemainder(dividingBy: 2) == 1
            if isNamed || factor > 1 {
                let name = factor < 1 ? "1/\(Int(1 / factor))" : "\(Int(factor))"
                canvas.text(name, x: x, y: bottom + 18, class: "centre")
            }
        }
        for (index, row) in rows.enumerated() {
            draw(row, at: top + Self.head + Self.step * Double(index), on: &canvas)
        }
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

    private func place(_ factor: Double) -> Double {
        Self.scale.place(min(factor, Self.scale.high))
    }
}
