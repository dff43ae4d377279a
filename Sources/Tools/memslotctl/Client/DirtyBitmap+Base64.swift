import Memslots

extension DirtyBitmap {
    /// The bitmap of a dirty log as the wire has it: padded base64, bit 0 of byte 0 the first page.
    ///
    /// What is no base64 ends it, and the pages after that are clean; bits past `pageCount` are
    /// passed over.
    init(pageCount: UInt64, base64: String) {
        self.init(pageCount: pageCount)
        // Six bits a character, from the top of each byte; `count` bits of `bits` are not used yet.
        var bits: UInt64 = 0
        var count: UInt64 = 0
        var page: UInt64 = 0
        for character in base64.utf8 {
            guard let value = Self.value(of: character) else { return }
            bits = bits << 6 | value
            count += 6
            guard count >= 8 else { continue }
            count -= 8
            let byte = bits >> count & 0xFF
            for bit in 0..<8 where byte >> UInt64(bit) & 1 == 1 {
                let dirty = page + UInt64(bit)
                if dirty < pageCount { insert(dirty..<dirty + 1) }
            }
            page += 8
        }
    }

    private static func value(of character: UInt8) -> UInt64? {
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt64(character - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt64(character - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt64(character - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
