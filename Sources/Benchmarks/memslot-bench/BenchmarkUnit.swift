/// What a figure counts.
package enum BenchmarkUnit: String, Hashable, Sendable {
    /// Time for one operation.
    case nanoseconds
    /// Memory.
    case bytes
    /// Operations in a second.
    case perSecond

    /// A figure with three digits that count, and its unit.
    func text(_ value: Double) -> String {
        switch self {
        case .nanoseconds: scaled(value, 1_000, ["ns", "µs", "ms", "s"])
        case .bytes: scaled(value, 1_024, ["B", "KiB", "MiB", "GiB"])
        case .perSecond: scaled(value, 1_000, ["/s", "k/s", "M/s", "G/s"])
        }
    }

    private func scaled(_ value: Double, _ step: Double, _ names: [String]) -> String {
        var value = value
        var index = 0
        // As it would be rounded: 999.6 ns is 1.00 µs.
        while value >= step - 0.5, index + 1 < names.count {
            value /= step
            index += 1
        }
        return digits(value) + " " + names[index]
    }
}

/// A ratio as it stands in a table.
func ratioText(_ ratio: Double) -> String { digits(ratio) + "×" }

/// Three digits that count: 0.123, 1.23, 12.3, 123.
func digits(_ value: Double) -> String {
    let places = value >= 99.95 ? 0 : value >= 9.995 ? 1 : value >= 0.9995 ? 2 : 3
    let factor = [1.0, 10, 100, 1_000][places]
    let rounded = (value * factor).rounded()
    guard rounded.magnitude < 1e15 else { return "\(value)" }
    let whole = Int(rounded)
    guard places > 0 else { return String(whole) }
    let fraction = String(whole % Int(factor))
    return "\(whole / Int(factor))." + String(repeating: "0", count: places - fraction.count)
        + fraction
}
