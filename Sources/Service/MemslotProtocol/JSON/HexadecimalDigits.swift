/// The integer that `digits` are, of either case, with as many zeros as there are.
///
/// Eight digits at a time: an array's addresses are most of its text, and digit by digit they took
/// a tenth of the time for a large submit.
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

/// The value of eight digits, the first in the lowest byte; `nil` if a byte is none.
@inline(__always)
private func eightHexDigits(_ text: UInt64) -> UInt64? {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let tops = ones &* 0x80
    // Lower case; digits have this bit already. What becomes a digit by it is a control character,
    // which is told apart by the bit.
    let lower = text | ones &* 0x20
    guard text & tops == 0 else { return nil }
    // With its top bit set, no byte borrows from or carries into the next.
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
