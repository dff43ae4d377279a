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
