/// The bitmap of a dirty log as the wire has it.
struct DirtyBitmap {
    /// The runs of set bits, ascending.
    let ranges: [Range<Int>]

    /// Reads padded base64; what is no base64 ends it.
    init(base64: String) {
        var ranges: [Range<Int>] = []
        var start: Int?
        var bit = 0
        var word: UInt32 = 0
        var digits = 0
        for character in base64.utf8 {
            guard let value = Self.value(of: character) else { break }
            word = word << 6 | value
            digits += 1
            guard digits >= 2 else { continue }
            // A digit beyond the first ends one byte, but the first of four ends none.
            let spare = UInt32(6 - 2 * (digits - 1))
            let byte = UInt8(truncatingIfNeeded: word >> spare)
            if digits == 4 { digits = 0 }
            if digits == 0 { word = 0 }
            for index in 0..<8 {
                let isSet = byte >> index & 1 == 1
                if isSet, start == nil { start = bit }
                if !isSet, let first = start {
                    ranges.append(first..<bit)
                    start = nil
                }
                bit += 1
            }
        }
        if let start { ranges.append(start..<bit) }
        self.ranges = ranges
    }

    private static func value(of character: UInt8) -> UInt32? {
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(character - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(character - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(character - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
