package import Memslots

/// A size in bytes as a person reads it: `4 KiB`, `1.5 GiB`, `2047 MiB`.
///
/// Exact where that takes at most four digits and a half; else rounded to one decimal, and a `~`
/// in front says so.
package struct HumanSize: Hashable, Sendable, CustomStringConvertible {
    /// The size in bytes, any number.
    package var bytes: UInt64

    /// Wraps a number of bytes.
    package init(bytes: UInt64) { self.bytes = bytes }

    /// Wraps a size.
    package init(_ size: ByteCount) { self.bytes = size.rawValue }

    private static let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]

    /// The text, in binary units.
    package var description: String {
        guard bytes > 0 else { return "0 B" }
        let top = (UInt64.bitWidth - 1 - bytes.leadingZeroBitCount) / 10
        for unit in (0...top).reversed() {
            if let exact = exact(in: unit) { return exact }
        }
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
        // The rest is below 2^60, so ten times it and a half still fit.
        var tenths = ((bytes - whole << shift) * 10 + (1 << shift) / 2) >> shift
        if tenths == 10 { (whole, tenths) = (whole + 1, 0) }
        if whole == 1024, unit + 1 < Self.units.count { return "~1 \(Self.units[unit + 1])" }
        return "~\(whole)\(tenths == 0 ? "" : ".\(tenths)") \(Self.units[unit])"
    }
}
