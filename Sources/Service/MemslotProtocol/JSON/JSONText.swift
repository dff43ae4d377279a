extension JSONDocument {
    /// The text of the string at `node`, its escapes resolved.
    func text(of node: Int) -> String {
        let entry = nodes[node]
        let start = Int(entry.offset)
        let source = start..<start + entry.extent
        guard entry.hasEscapes else {
            return bytes.withUnsafeBufferPointer {
                String(decoding: UnsafeBufferPointer(rebasing: $0[source]), as: UTF8.self)
            }
        }
        var text = String.UnicodeScalarView()
        var decoder = EscapedText(bytes: bytes, at: start, end: source.upperBound)
        while let scalar = decoder.next() { text.append(scalar) }
        return String(text)
    }

    /// Whether the string at `node` is `text`. Makes no `String`.
    func text(of node: Int, equals text: String) -> Bool {
        let entry = nodes[node]
        let start = Int(entry.offset)
        if entry.hasEscapes {
            var decoder = EscapedText(bytes: bytes, at: start, end: start + entry.extent)
            for scalar in text.unicodeScalars where decoder.next() != scalar { return false }
            return decoder.next() == nil
        }
        let utf8 = text.utf8
        guard utf8.count == entry.extent else { return false }
        var index = start
        for byte in utf8 {
            if bytes[index] != byte { return false }
            index += 1
        }
        return true
    }
}

/// The scalars of a string that the scanner has accepted, with its escapes resolved.
private struct EscapedText {
    let bytes: [UInt8]
    var at: Int
    let end: Int

    mutating func next() -> Unicode.Scalar? {
        guard at < end else { return nil }
        let first = bytes[at]
        if first == UInt8(ascii: "\\") { return escape() }
        at += 1
        if first < 0x80 { return Unicode.Scalar(first) }
        let more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1
        var value = UInt32(first) & (0x3F >> UInt32(more))
        for _ in 0..<more where at < end {
            value = value << 6 | UInt32(bytes[at] & 0x3F)
            at += 1
        }
        return Unicode.Scalar(value)
    }

    private mutating func escape() -> Unicode.Scalar? {
        let letter = bytes[at + 1]
        at += 2
        switch letter {
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"):
            let unit = hexUnit()
            guard unit & 0xFC00 == 0xD800 else { return Unicode.Scalar(unit) }
            at += 2
            return Unicode.Scalar(0x10000 + (unit & 0x3FF) << 10 + hexUnit() & 0x3FF)
        default: return Unicode.Scalar(letter)
        }
    }

    private mutating func hexUnit() -> UInt32 {
        var unit: UInt32 = 0
        for _ in 0..<4 where at < end {
            unit = unit << 4 | UInt32(hexDigit(bytes[at]) ?? 0)
            at += 1
        }
        return unit
    }
}
