package import MemslotPicture

/// One line of a report: a measured figure, beside its yardstick and its target.
package struct BenchmarkRow: Hashable, Sendable {
    package var name: String
    /// Slots in the array; `nil` where their number does not matter.
    package var slots: Int?
    package var unit: BenchmarkUnit
    package var measured: Spread
    /// What it is compared with, in the same rounds; `nil` for nothing.
    package var yardstick: String?
    package var yardstickMeasured: Spread?
    package var ratio: Double?
    /// The target; `nil` where the figure is there for comparison.
    package var target: BenchmarkTarget?

    /// The row compared with another figure; `ratio` is that of the same rounds, if they are.
    func compared(with other: String, _ figure: Spread, ratio: Double? = nil) -> BenchmarkRow {
        var row = self
        row.yardstick = other
        row.yardstickMeasured = figure
        row.ratio = ratio ?? measured.median / figure.median
        return row
    }

    package var isMet: Bool? { target.map { $0.share(of: self) <= 1 } }

    /// What the target is about: the title, and the yardstick where the target is a ratio.
    var claim: String {
        guard case .ratioAtMost = target, let yardstick else { return title }
        return "\(title) ÷ \(yardstick)"
    }

    /// The name, with the number of slots if the row has one.
    var title: String { slots.map { "\(name), \(grouped($0)) slots" } ?? name }
}

/// A number with commas between its thousands.
func grouped(_ number: Int) -> String {
    var text = ""
    for (index, digit) in String(number).reversed().enumerated() {
        if index > 0 && index % 3 == 0 && digit != "-" { text.append(",") }
        text.append(digit)
    }
    return String(text.reversed())
}

package enum BenchmarkTarget: Hashable, Sendable {
    /// At most this many times the yardstick's figure.
    case ratioAtMost(Double)
    case ratioAtLeast(Double)
    /// At most this much, in the row's unit.
    case atMost(Double)
    /// At least this much, in the row's unit.
    case atLeast(Double)

    /// How much of the target a row uses: at most 1 if it is met, 2 if it takes twice as much.
    func share(of row: BenchmarkRow) -> Double {
        switch self {
        case .ratioAtMost(let limit): (row.ratio ?? .infinity) / limit
        case .ratioAtLeast(let limit): limit / (row.ratio ?? 0)
        case .atMost(let limit): row.measured.median / limit
        case .atLeast(let limit): limit / max(row.measured.median, .leastNormalMagnitude)
        }
    }

    func text(in unit: BenchmarkUnit) -> String {
        switch self {
        case .ratioAtMost(let limit): "≤ " + ratioText(limit)
        case .ratioAtLeast(let limit): "≥ " + ratioText(limit)
        case .atMost(let limit): "≤ " + unit.text(limit)
        case .atLeast(let limit): "≥ " + unit.text(limit)
        }
    }
}

/// What a figure counts: the time of one operation, bytes, or operations a second.
package typealias BenchmarkUnit = HumanFigure.Unit

extension BenchmarkUnit {
    /// A figure with three significant digits, and its unit.
    func text(_ value: Double) -> String { HumanFigure(value, self).description }
}

func ratioText(_ ratio: Double) -> String { BenchmarkUnit.factor.text(ratio) }

extension BenchmarkRow: Encodable {
    private enum CodingKeys: CodingKey {
        case name, slots, unit, measured, yardstick, yardstickMeasured, ratio, target, met
    }

    package func encode(to encoder: any Encoder) throws {
        var members = encoder.container(keyedBy: CodingKeys.self)
        try members.encode(name, forKey: .name)
        try members.encodeIfPresent(slots, forKey: .slots)
        try members.encode(unit, forKey: .unit)
        try members.encode(measured, forKey: .measured)
        try members.encodeIfPresent(yardstick, forKey: .yardstick)
        try members.encodeIfPresent(yardstickMeasured, forKey: .yardstickMeasured)
        try members.encodeIfPresent(ratio, forKey: .ratio)
        try members.encodeIfPresent(target?.text(in: unit), forKey: .target)
        try members.encodeIfPresent(isMet, forKey: .met)
    }
}
