/// A span of time as a person reads it: `850 ns`, `12.3 µs`, `1.2 ms`, `3.0 s`, `2 min 5 s`.
package struct HumanDuration: Hashable, Sendable, CustomStringConvertible {
    /// The span in nanoseconds, any number.
    package var nanoseconds: UInt64

    /// Wraps a number of nanoseconds.
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
