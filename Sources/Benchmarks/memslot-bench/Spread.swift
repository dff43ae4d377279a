/// What many rounds of one measurement gave.
package struct Spread: Hashable, Sendable {
    /// Half of the rounds were below.
    package let median: Double
    /// A tenth of the rounds were below.
    package let low: Double
    /// A tenth of the rounds were above.
    package let high: Double
    /// How many rounds there were.
    package let rounds: Int

    /// Sums `samples` up; all 0 without any.
    package init(_ samples: [Double]) {
        let sorted = samples.sorted()
        func quantile(_ part: Double) -> Double {
            guard let last = sorted.indices.last else { return 0 }
            // Between two samples, a straight line.
            let place = part * Double(last)
            let below = Int(place)
            let above = min(below + 1, last)
            return sorted[below] + (sorted[above] - sorted[below]) * (place - Double(below))
        }
        median = quantile(0.5)
        low = quantile(0.1)
        high = quantile(0.9)
        rounds = samples.count
    }
}
