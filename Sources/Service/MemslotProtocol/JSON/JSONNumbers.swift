/// Why a value is not an integer of 0 … 2^64 − 1.
package enum IntegerProblem: Error, Hashable, Sendable {
    /// Not a number, or text that is not one.
    case notANumber
    /// A number with a minus sign, `-0` too.
    case negative
    /// A number with a fraction or an exponent, `1.0` and `1e3` too.
    case float
    /// 2^64 or more.
    case tooLarge
}

extension JSONDocument {
    /// The number at `node`, exactly.
    @inline(__always)
    func unsignedInteger(at node: Int) -> Result<UInt64, IntegerProblem> {
        let entry = nodes[node]
        guard entry.kind == .number else { return .failure(.notANumber) }
        let start = Int(entry.offset)
        return decimal(in: start..<start + entry.extent)
    }

    /// The decimal integer in `range`, with any number of leading zeros.
    func decimal(in range: Range<Int>) -> Result<UInt64, IntegerProblem> {
        guard !range.isEmpty else { return .failure(.notANumber) }
        var value: UInt64 = 0
        var overflows = false
        // Nineteen digits can't overflow.
        let isShort = range.count < 20
        for index in range {
            let digit = bytes[index] &- UInt8(ascii: "0")
            guard digit < 10 else { return .failure(problem(at: index, in: range)) }
            if isShort {
                value = value &* 10 &+ UInt64(digit)
            } else {
                let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
                let (sum, carry) = tens.addingReportingOverflow(UInt64(digit))
                overflows = overflows || overflow || carry
                value = sum
            }
        }
        return overflows ? .failure(.tooLarge) : .success(value)
    }

    /// The hexadecimal integer in `range`, without a prefix.
    func hexadecimal(in range: Range<Int>) -> Result<UInt64, IntegerProblem> {
        bytes.withUnsafeBytes { hexadecimalInteger(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    /// Why a number is no integer whose byte at `index` is no digit.
    private func problem(at index: Int, in range: Range<Int>) -> IntegerProblem {
        switch bytes[index] {
        case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"): return .float
        case UInt8(ascii: "-") where index == range.lowerBound:
            let isFloat = bytes[range].contains {
                $0 == UInt8(ascii: ".") || $0 | 0x20 == UInt8(ascii: "e")
            }
            return isFloat ? .float : .negative
        default: return .notANumber
        }
    }

    /// The address or size at `node`: an integer, or a string `0x…` or decimal.
    ///
    /// A string has no sign and no blanks. Hexadecimal digits have either case. A decimal string
    /// has no leading zeros, because other languages read those as octal.
    @inline(__always)
    func quantity(at node: Int) -> Result<UInt64, IntegerProblem> {
        let entry = nodes[node]
        if entry.isString, !entry.hasEscapes {
            let start = Int(entry.offset)
            return quantity(in: start..<start + entry.extent)
        }
        return entry.isString ? quantity(escaped: node) : unsignedInteger(at: node)
    }

    private func quantity(in text: Range<Int>) -> Result<UInt64, IntegerProblem> {
        let start = text.lowerBound
        guard let first = text.first.map({ bytes[$0] }) else { return .failure(.notANumber) }
        guard text.count > 1 else { return decimal(in: text) }
        if first == UInt8(ascii: "0") {
            guard bytes[start + 1] == UInt8(ascii: "x") else { return .failure(.notANumber) }
            return hexadecimal(in: start + 2..<text.upperBound)
        }
        return decimal(in: text)
    }

    /// Parses a string with escapes again without them. Such strings are rare.
    private func quantity(escaped node: Int) -> Result<UInt64, IntegerProblem> {
        var writer = JSONWriter()
        writer.string(text(of: node))
        guard let plain = try? JSONDocument(parsing: writer.bytes) else {
            return .failure(.notANumber)
        }
        return plain.nodes[0].hasEscapes ? .failure(.notANumber) : plain.quantity(at: 0)
    }
}

extension JSONValue {
    /// The value as an address or a size: an integer, or a string `"0x…"` or decimal.
    package var quantity: Result<UInt64, IntegerProblem> { document.quantity(at: node) }
}

// MARK: - Hexadecimal digits

/// The integer that `digits` represent, of either case and with any number of leading zeros.
///
/// Eight digits at a time: addresses are most of an array's text. Digit by digit, they cost a
/// tenth of the time of a large submit.
func hexadecimalInteger(_ digits: UnsafeRawBufferPointer) -> Result<UInt64, IntegerProblem> {
    guard !digits.isEmpty else { return .failure(.notANumber) }
    var value: UInt64 = 0
    var lost: UInt64 = 0
    var at = 0
    while digits.count - at >= 8 {
        let word = digits.loadUnaligned(fromByteOffset: at, as: UInt64.self)
        guard let eight = eightHexDigits(UInt64(littleEndian: word)) else {
            return .failure(.notANumber)
        }
        lost |= value >> 32
        value = value << 32 | eight
        at += 8
    }
    while at < digits.count {
        guard let digit = hexDigit(digits[at]) else { return .failure(.notANumber) }
        lost |= value >> 60
        value = value << 4 | UInt64(digit)
        at += 1
    }
    return lost != 0 ? .failure(.tooLarge) : .success(value)
}

/// The value of eight digits, the first in the lowest byte; `nil` if a byte is no digit.
@inline(__always)
private func eightHexDigits(_ text: UInt64) -> UInt64? {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let tops = ones &* 0x80
    // Lower case; digits have this bit already. A control character may become a digit by it, and
    // is recognized by the bit that it lacks.
    let lower = text | ones &* 0x20
    guard text & tops == 0 else { return nil }
    // With its top bit set, a byte neither borrows from the next nor carries into it.
    let isFrom0 = (lower | tops) &- ones &* 0x30
    let isPast9 = lower &+ ones &* (0x80 - 0x3A)
    let isFromA = (lower | tops) &- ones &* 0x61
    let isPastF = lower &+ ones &* (0x80 - 0x67)
    let isControl = ~(text << 2)
    let isDigit = isFrom0 & ~isPast9 & ~isControl
    let isLetter = isFromA & ~isPastF
    guard (isDigit | isLetter) & tops == tops else { return nil }

    var value = (lower & (ones &* 0x0F)) &+ (lower >> 6 & ones) &* 9
    value = value.byteSwapped
    value = (value | value >> 4) & 0x00FF_00FF_00FF_00FF
    value = (value | value >> 8) & 0x0000_FFFF_0000_FFFF
    return (value | value >> 16) & 0xFFFF_FFFF
}

/// The value of a hexadecimal digit of either case, `nil` for any other byte.
@inline(__always)
func hexDigit(_ byte: UInt8) -> UInt8? {
    let decimal = byte &- UInt8(ascii: "0")
    if decimal < 10 { return decimal }
    let letter = (byte | 0x20) &- UInt8(ascii: "a")
    return letter < 6 ? letter + 10 : nil
}
