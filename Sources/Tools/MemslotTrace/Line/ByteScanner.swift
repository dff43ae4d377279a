/// A cursor over the bytes of one line, which never moves past the end and never traps.
struct ByteScanner {
    let bytes: ArraySlice<UInt8>
    private(set) var position: Int

    init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        self.position = bytes.startIndex
    }

    var offset: Int { position - bytes.startIndex }
    var isAtEnd: Bool { position >= bytes.endIndex }
    var rest: ArraySlice<UInt8> { bytes[position...] }
    /// The byte under the cursor; 0 at the end.
    var next: UInt8 { isAtEnd ? 0 : bytes[position] }

    func byte(ahead: Int) -> UInt8 {
        position + ahead < bytes.endIndex ? bytes[position + ahead] : 0
    }

    mutating func advance() { if !isAtEnd { position += 1 } }

    mutating func skipSpaces() {
        while next == UInt8(ascii: " ") || next == UInt8(ascii: "\t") { position += 1 }
    }

    mutating func skip(_ text: StaticString) -> Bool {
        guard rest.stands(text) else { return false }
        position += text.utf8CodeUnitCount
        return true
    }

    /// Skips everything up to and including the next `text`; does not move if there is none.
    mutating func skip(past text: StaticString) -> Bool {
        guard let found = bytes[position...].firstPosition(of: text) else { return false }
        position = found + text.utf8CodeUnitCount
        return true
    }

    mutating func identifier() -> ArraySlice<UInt8> {
        let start = position
        while !isAtEnd, bytes[position].isIdentifier { position += 1 }
        return bytes[start..<position]
    }

    /// Reads digits; `nil` if there are none, or on overflow.
    private mutating func digits(radix: UInt64) -> UInt64? {
        let start = position
        var value: UInt64 = 0
        while !isAtEnd, let digit = bytes[position].hexDigit, digit < radix {
            let (product, high) = value.multipliedReportingOverflow(by: radix)
            let (sum, carry) = product.addingReportingOverflow(digit)
            guard !high, !carry else { return nil }
            value = sum
            position += 1
        }
        return position == start ? nil : value
    }

    mutating func decimal() -> UInt64? { digits(radix: 10) }

    /// Reads `0x…`, decimal digits or `NULL`; `nil` if none of them is next.
    mutating func number() -> UInt64? {
        if skip("NULL") { return 0 }
        return digits(radix: skip("0x") ? 16 : 10)
    }

    /// Skips `/* … */` and the spaces before it, if it is next.
    mutating func skipComment() {
        let start = position
        skipSpaces()
        if !skip("/*") || !skip(past: "*/") { position = start }
    }
}

extension ArraySlice<UInt8> {
    func stands(_ text: StaticString) -> Bool {
        // The bytes of a static string live as long as the program.
        starts(with: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    func equals(_ text: StaticString) -> Bool { count == text.utf8CodeUnitCount && stands(text) }

    func firstPosition(of text: StaticString) -> Int? {
        guard text.utf8CodeUnitCount > 0, count >= text.utf8CodeUnitCount else { return nil }
        let first = text.utf8Start.pointee  // the text is not empty
        var index = startIndex
        let last = endIndex - text.utf8CodeUnitCount
        while index <= last {
            if self[index] == first, self[index...].stands(text) { return index }
            index += 1
        }
        return nil
    }

    /// The bytes as text, with what is not UTF-8 replaced.
    var text: String { String(decoding: self, as: UTF8.self) }
}

extension UInt8 {
    var decimalDigit: UInt64? {
        self >= UInt8(ascii: "0") && self <= UInt8(ascii: "9")
            ? UInt64(self - UInt8(ascii: "0")) : nil
    }

    var hexDigit: UInt64? {
        let letter = (self | 0x20) &- UInt8(ascii: "a")
        return decimalDigit ?? (letter < 6 ? UInt64(letter) + 10 : nil)
    }

    var isIdentifier: Bool {
        decimalDigit != nil || self == UInt8(ascii: "_") || (self | 0x20) &- UInt8(ascii: "a") < 26
    }
}
