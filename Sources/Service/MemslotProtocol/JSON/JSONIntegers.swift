/// Why a value is not an integer of 0 … 2^64 − 1.
public enum IntegerProblem: Error, Hashable, Sendable {
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

    /// The integer that the bytes in `range` are in decimal, with as many zeros as there are.
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

    /// The integer that the bytes in `range` are in hexadecimal, without a prefix.
    func hexadecimal(in range: Range<Int>) -> Result<UInt64, IntegerProblem> {
        bytes.withUnsafeBytes { hexadecimalInteger(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    /// What the byte at `index`, which is no digit, makes of a number.
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
}
