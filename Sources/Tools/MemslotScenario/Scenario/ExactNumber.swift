/// A JSON number by its value, whatever its size and however it is written.
struct ExactNumber: Hashable {
    /// The digits without zeros at either end; empty for 0.
    private var digits: [UInt8] = []
    private var isNegative = false
    /// The power of ten of the last digit.
    private var exponent = 0

    /// Reads a number that is known to keep JSON's grammar.
    init(_ text: some Collection<UInt8>) {
        var fraction = 0
        var isFraction = false
        var power = 0
        var powerIsNegative = false
        var isPower = false
        for byte in text {
            switch byte {
            case UInt8(ascii: "."): isFraction = true
            case UInt8(ascii: "e"), UInt8(ascii: "E"): isPower = true
            case UInt8(ascii: "-") where isPower: powerIsNegative = true
            case UInt8(ascii: "-"): isNegative = true
            case UInt8(ascii: "0")...UInt8(ascii: "9") where isPower:
                // Past this no text is long enough to make up for it: all such are as far.
                power = min(power * 10 + Int(byte - UInt8(ascii: "0")), 1 << 40)
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                digits.append(byte)
                if isFraction { fraction += 1 }
            default: break
            }
        }
        let lastZeros = digits.reversed().prefix { $0 == UInt8(ascii: "0") }.count
        digits.removeLast(lastZeros)
        digits.removeFirst(digits.prefix { $0 == UInt8(ascii: "0") }.count)
        exponent = (powerIsNegative ? -power : power) - fraction + lastZeros
        if digits.isEmpty {
            isNegative = false
            exponent = 0
        }
    }
}
