/// An address or a size on the command line: `4K`, `2M`, `1G`, `1T`, `0x…` or decimal.
package struct Quantity: Sendable, CustomStringConvertible {
    package let value: UInt64
    package var description: String { "\(value)" }
    package init(_ value: some BinaryInteger) { self.value = UInt64(value) }

    package init?(argument: String) {
        let text = argument.lowercased()
        if text.hasPrefix("0x") {
            let digits = text.dropFirst(2)
            guard digits.allSatisfy(\.isHexDigit), let value = UInt64(digits, radix: 16) else {
                return nil
            }
            self.value = value
            return
        }
        let digits = text.prefix { "0"..."9" ~= $0 }
        guard let number = UInt64(digits), let shift = Self.shifts[String(text[digits.endIndex...])]
        else { return nil }
        let (value, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
        guard !overflow else { return nil }
        self.value = value
    }

    /// Binary units, as in the kernel's options.
    private static let shifts: [String: UInt64] = [
        "": 0, "k": 10, "kib": 10, "m": 20, "mib": 20, "g": 30, "gib": 30, "t": 40, "tib": 40,
    ]
}
