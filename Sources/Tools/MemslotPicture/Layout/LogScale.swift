/// Sizes on a scale where each doubling adds the same.
///
/// In 64ths of an octave, straight between powers of two: close enough for the eye, monotone,
/// and exact integers everywhere.
enum LogScale {
    /// 64 times the binary logarithm of `bytes`; 0 for 0.
    static func level(_ bytes: UInt64) -> Int {
        guard bytes > 0 else { return 0 }
        let zeros = bytes.leadingZeroBitCount
        let fraction = Int((bytes << UInt64(zeros)) >> 57) & 63
        return (63 - zeros) * 64 + fraction
    }

    /// How far `bytes` is above one page, in 64ths of an octave, never negative.
    static func abovePage(_ bytes: UInt64) -> Int { max(0, level(bytes) - 12 * 64) }

    /// The part of `length` that `bytes` takes where `largest` takes all of it; at least 1.
    static func part(_ bytes: UInt64, of largest: UInt64, length: Int) -> Int {
        // One octave below a page is the zero of the scale, so that a page still has a length.
        let whole = abovePage(largest) + 64
        return min(length, max(1, (abovePage(bytes) + 64) * length / whole))
    }
}
