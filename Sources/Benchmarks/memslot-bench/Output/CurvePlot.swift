import Glibc

/// Times over the number of slots, both on scales of factors.
struct CurvePlot {
    let title: String
    /// At most five; each with its points in ascending order of slots.
    let curves: [(name: String, points: [(slots: Int, nanoseconds: Double)])]

    static let height = 320.0
    private static let top = 50.0
    private static let bottom = 270.0
    private static let left = 70.0
    private static let right = 560.0
    private static let classes = ["a", "b", "c", "d", "e"]

    /// Draws from `top` down.
    func draw(at top: Double, on canvas: inout PlotCanvas) {
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
        canvas.text(title, 24, top + 24, "title")
        for decade in rows.decades {
            let y = rows.place(decade)
            canvas.line(Self.left, y, Self.right, y, "grid")
            canvas.text(BenchmarkUnit.nanoseconds.text(decade), Self.left - 8, y + 4, "end-muted")
        }
        for slots in Set(points.map(\.slots)).sorted() {
            let x = columns.place(Double(slots))
            canvas.line(x, top + Self.top, x, top + Self.bottom, "grid")
            canvas.text(grouped(slots), x, top + Self.bottom + 18, "centre")
        }
        canvas.text("slots", Self.right, top + Self.bottom + 36, "end-muted")
        for (index, curve) in curves.prefix(Self.classes.count).enumerated() {
            let name = Self.classes[index]
            canvas.curve(
                curve.points.map {
                    (columns.place(Double($0.slots)), rows.place($0.nanoseconds))
                }, name)
            let y = top + Self.top + 20 + 22 * Double(index)
            canvas.rect(Self.right + 24, y - 9, 18, 9, "key " + name)
            canvas.text(curve.name, Self.right + 50, y, "label")
        }
    }

    /// A scale of factors.
    private struct Axis {
        let low: Double
        let high: Double
        let from: Double
        let to: Double

        func place(_ value: Double) -> Double {
            from + (to - from) * log(max(value, low) / low) / log(max(high / low, 1.01))
        }

        /// The powers of ten on it.
        var decades: [Double] {
            var decades: [Double] = []
            var decade = low
            while decade <= high * 1.001 {
                decades.append(decade)
                decade *= 10
            }
            return decades
        }
    }
}
