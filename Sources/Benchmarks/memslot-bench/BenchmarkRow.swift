/// One line of a report: something measured, beside its yardstick and its target.
package struct BenchmarkRow: Hashable, Sendable {
    /// What was measured.
    package var name: String
    /// Slots in the array; `nil` where their number says nothing.
    package var slots: Int?
    /// What the figures count.
    package var unit: BenchmarkUnit
    /// What it took.
    package var measured: Spread
    /// What it was held against, in the same rounds; `nil` for nothing.
    package var yardstick: String?
    /// What the yardstick took.
    package var yardstickMeasured: Spread?
    /// How many times the yardstick it took.
    package var ratio: Double?
    /// What is to be reached; `nil` where the figure is there for scale.
    package var target: BenchmarkTarget?

    /// A row without a yardstick and without a target.
    package init(name: String, slots: Int? = nil, unit: BenchmarkUnit, measured: Spread) {
        self.name = name
        self.slots = slots
        self.unit = unit
        self.measured = measured
    }

    /// Whether the target is reached; `nil` without one.
    package var isMet: Bool? { target.map { $0.isMet(by: self) } }

    /// What the target is about: the title, and the yardstick where the target is a ratio.
    var claim: String {
        guard case .ratioAtMost = target, let yardstick else { return title }
        return "\(title) ÷ \(yardstick)"
    }

    /// The name, and the number of slots where that says something.
    var title: String { slots.map { "\(name), \(grouped($0)) slots" } ?? name }
}

/// A number with its thousands set apart.
func grouped(_ number: Int) -> String {
    var text = ""
    for (index, digit) in String(number).reversed().enumerated() {
        if index > 0 && index % 3 == 0 && digit != "-" { text.append(",") }
        text.append(digit)
    }
    return String(text.reversed())
}

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
