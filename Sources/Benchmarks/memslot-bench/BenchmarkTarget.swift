/// What is to be reached.
package enum BenchmarkTarget: Hashable, Sendable {
    /// At most this many times what the yardstick took.
    case ratioAtMost(Double)
    /// At most this much, in the row's unit.
    case atMost(Double)
    /// At least this much, in the row's unit.
    case atLeast(Double)

    /// Whether a row reaches it.
    func isMet(by row: BenchmarkRow) -> Bool {
        switch self {
        case .ratioAtMost(let limit): row.ratio.map { $0 <= limit } ?? false
        case .atMost(let limit): row.measured.median <= limit
        case .atLeast(let limit): row.measured.median >= limit
        }
    }

    /// How far a row is from it: below 1 it is reached, at 2 it takes twice what it may.
    func share(of row: BenchmarkRow) -> Double {
        switch self {
        case .ratioAtMost(let limit): (row.ratio ?? 0) / limit
        case .atMost(let limit): row.measured.median / limit
        case .atLeast(let limit): limit / max(row.measured.median, .leastNormalMagnitude)
        }
    }

    /// As it stands in a table.
    func text(in unit: BenchmarkUnit) -> String {
        switch self {
        case .ratioAtMost(let limit): "≤ " + ratioText(limit)
        case .atMost(let limit): "≤ " + unit.text(limit)
        case .atLeast(let limit): "≥ " + unit.text(limit)
        }
    }
}
