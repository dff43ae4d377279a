extension JSONScanner {
    /// Scans a string whose opening quote is at the cursor.
    @inline(__always)
    mutating func scanString() throws(JSONFault) {
        let start = at + 1
        at = start
        var hasEscapes = false
        while true {
            skipPlainText()
            guard at < end else { throw JSONFault(problem: .unterminatedString, offset: at) }
            let next = base[at]
            if next == UInt8(ascii: "\"") { break }
            if next == UInt8(ascii: "\\") {
                hasEscapes = true
                try skipEscape()
            } else if next >= 0x80 {
                try skipSequence(startingWith: next)
            } else if next < 0x20 {
                throw JSONFault(problem: .controlCharacter, offset: at)
            } else {
                at += 1
            }
        }
        tape.append(JSONNode(.string, offset: start, extent: at - start, hasEscapes: hasEscapes))
        at += 1
    }

    /// Moves to the next quote, backslash, control character or byte beyond ASCII, eight bytes at
    /// a time. Near the end of the source it may stop earlier.
    @inline(__always)
    private mutating func skipPlainText() {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let tops: UInt64 = 0x8080_8080_8080_8080
        while at + 8 <= end {
            let word = UInt64(
                littleEndian: UnsafeRawPointer(base + at).loadUnaligned(as: UInt64.self))
            let quote = word ^ (ones &* 0x22)
            let backslash = word ^ (ones &* 0x5C)
            // "Has a zero byte" and "has a byte below": exact for the lowest byte that they find.
            let found =
                ((quote &- ones) & ~quote | (backslash &- ones) & ~backslash
                    | (word &- ones &* 0x20) & ~word | word) & tops
            if found != 0 {
                at += found.trailingZeroBitCount / 8
                return
            }
            at += 8
        }
    }

    /// Moves over an escape, or two that make a surrogate pair.
    private mutating func skipEscape() throws(JSONFault) {
        let start = at
        guard at + 1 < end else { throw JSONFault(problem: .unterminatedString, offset: end) }
        switch base[at + 1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"),
            UInt8(ascii: "f"), UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            at += 2
        case UInt8(ascii: "u"):
            let unit = try hexUnit(at: at + 2)
            at += 6
            guard unit & 0xF800 == 0xD800 else { return }
            guard unit & 0x0400 == 0, at + 1 < end, base[at] == UInt8(ascii: "\\"),
                base[at + 1] == UInt8(ascii: "u"), try hexUnit(at: at + 2) & 0xFC00 == 0xDC00
            else { throw JSONFault(problem: .loneSurrogate, offset: start) }
            at += 6
        default: throw JSONFault(problem: .badEscape, offset: start)
        }
    }

    private func hexUnit(at start: Int) throws(JSONFault) -> UInt32 {
        guard start + 4 <= end else { throw JSONFault(problem: .badEscape, offset: start - 2) }
        var unit: UInt32 = 0
        for index in start..<start + 4 {
            guard let digit = hexDigit(base[index]) else {
                throw JSONFault(problem: .badEscape, offset: start - 2)
            }
            unit = unit << 4 | UInt32(digit)
        }
        return unit
    }

    /// Moves over one UTF-8 sequence of two to four bytes. Source: Unicode, table 3-7.
    private mutating func skipSequence(startingWith first: UInt8) throws(JSONFault) {
        let length: Int
        var second: ClosedRange<UInt8> = 0x80...0xBF
        switch first {
        case 0xC2...0xDF: length = 2
        case 0xE0: (length, second) = (3, 0xA0...0xBF)
        case 0xED: (length, second) = (3, 0x80...0x9F)
        case 0xE1...0xEF: length = 3
        case 0xF0: (length, second) = (4, 0x90...0xBF)
        case 0xF1...0xF3: length = 4
        case 0xF4: (length, second) = (4, 0x80...0x8F)
        default: throw JSONFault(problem: .invalidUTF8, offset: at)
        }
        guard at + length <= end, second.contains(base[at + 1]) else {
            throw JSONFault(problem: .invalidUTF8, offset: at)
        }
        for index in at + 2..<max(at + length, at + 2) where base[index] & 0xC0 != 0x80 {
            throw JSONFault(problem: .invalidUTF8, offset: at)
        }
        at += length
    }

    /// Scans a number without computing its value.
    @inline(__always)
    mutating func scanNumber() throws(JSONFault) {
        let start = at
        if byte == UInt8(ascii: "-") { at += 1 }
        if byte == UInt8(ascii: "0") { at += 1 } else { try skipDigits() }
        if byte == UInt8(ascii: ".") {
            at += 1
            try skipDigits()
        }
        if byte | 0x20 == UInt8(ascii: "e") {
            at += 1
            if byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") { at += 1 }
            try skipDigits()
        }
        tape.append(JSONNode(.number, offset: start, extent: at - start))
    }

    @inline(__always)
    private mutating func skipDigits() throws(JSONFault) {
        let start = at
        while at < end, base[at] &- UInt8(ascii: "0") < 10 { at += 1 }
        guard at > start else { throw JSONFault(problem: .badNumber, offset: at) }
    }
}
