package import Memslots

/// A size as a person reads it: `4 KiB`, `1.5 GiB`; `~` is before what is rounded to one decimal.
package struct HumanSize: Hashable, Sendable, CustomStringConvertible {
    package var bytes: UInt64

    package init(bytes: UInt64) { self.bytes = bytes }

    package init(_ size: ByteCount) { self.bytes = size.rawValue }

    private static let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]

    package var description: String {
        guard bytes > 0 else { return "0 B" }
        let top = (UInt64.bitWidth - 1 - bytes.leadingZeroBitCount) / 10
        for unit in (0...top).reversed() { if let exact = exact(in: unit) { return exact } }
        return rounded(to: top)
    }

    private func exact(in unit: Int) -> String? {
        let shift = UInt64(unit) * 10
        let whole = bytes >> shift
        let rest = bytes - whole << shift
        guard whole <= 9999 else { return nil }
        if rest == 0 { return "\(whole) \(Self.units[unit])" }
        let isHalf = unit > 0 && rest == 1 << (shift - 1)
        return isHalf ? "\(whole).5 \(Self.units[unit])" : nil
    }

    private func rounded(to unit: Int) -> String {
        let shift = UInt64(unit) * 10
        var whole = bytes >> shift
        // The rest is below 2^60, so ten times the rest plus a half does not overflow.
        var tenths = ((bytes - whole << shift) * 10 + (1 << shift) / 2) >> shift
        if tenths == 10 { (whole, tenths) = (whole + 1, 0) }
        if whole == 1024, unit + 1 < Self.units.count { return "~1 \(Self.units[unit + 1])" }
        return "~\(whole)\(tenths == 0 ? "" : ".\(tenths)") \(Self.units[unit])"
    }
}

/// A span of time as a person reads it: `850 ns`, `12.3 µs`, `1.2 ms`, `3.0 s`, `2 min 5 s`.
package struct HumanDuration: Hashable, Sendable, CustomStringConvertible {
    package var nanoseconds: UInt64

    package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// The text, rounded to a tenth of its unit; from a minute on, to a second.
    package var description: String {
        if nanoseconds < 1000 { return "\(nanoseconds) ns" }
        for (name, unit) in Self.units {
            let tenths = Self.rounded(nanoseconds, by: unit / 10)
            let isLast = name == "s"
            if tenths < (isLast ? 600 : 10_000) { return "\(tenths / 10).\(tenths % 10) \(name)" }
        }
        let seconds = Self.rounded(nanoseconds, by: 1_000_000_000)
        let minutes = seconds / 60
        if minutes < 60 { return "\(minutes) min \(seconds % 60) s" }
        return "\(minutes / 60) h \(minutes % 60) min"
    }

    private static let units: [(name: String, nanoseconds: UInt64)] = [
        ("µs", 1000), ("ms", 1_000_000), ("s", 1_000_000_000),
    ]

    private static func rounded(_ value: UInt64, by unit: UInt64) -> UInt64 {
        value / unit + (value % unit >= unit / 2 ? 1 : 0)
    }
}

/// A measured figure with three significant digits: `999 ns`, `1.23 µs`, `64.0 KiB`, `12.3×`.
package struct HumanFigure: CustomStringConvertible {
    package enum Unit: String, Hashable, Encodable, Sendable {
        case nanoseconds, bytes, perSecond, factor
    }

    /// The text, in the largest unit that keeps the figure at 1 or more.
    package let description: String

    package init(_ value: Double, _ unit: Unit) {
        description =
            switch unit {
            case .nanoseconds: Self.scaled(value, 1_000, ["ns", "µs", "ms", "s"])
            case .bytes: Self.scaled(value, 1_024, ["B", "KiB", "MiB", "GiB"])
            case .perSecond: Self.scaled(value, 1_000, ["/s", "k/s", "M/s", "G/s"])
            case .factor: Self.digits(value) + "×"
            }
    }

    private static func scaled(_ value: Double, _ step: Double, _ names: [String]) -> String {
        var value = value
        var index = 0
        // Compared as it will be rounded: 999.6 ns is 1.00 µs.
        while value >= step - 0.5, index + 1 < names.count {
            value /= step
            index += 1
        }
        return digits(value) + " " + names[index]
    }

    /// Three significant digits: 0.123, 1.23, 12.3, 123.
    private static func digits(_ value: Double) -> String {
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
}
