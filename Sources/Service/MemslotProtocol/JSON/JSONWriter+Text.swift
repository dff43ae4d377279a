extension JSONWriter {
    @inline(__always)
    mutating func appendDecimal(_ value: UInt64) {
        if value < 10 { return append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value)) }
        // On the stack, because the last digit is computed first.
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var rest = value
            var start = 20
            while rest > 0 {
                start -= 1
                digits[start] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
                rest /= 10
            }
            append(UnsafeBufferPointer(rebasing: digits[start...]))
        }
    }

    /// Appends `"0x…"` with the quotes.
    @inline(__always)
    mutating func appendQuotedHexadecimal(_ value: UInt64) {
        let digits = max(1, (UInt64.bitWidth - value.leadingZeroBitCount + 3) / 4)
        put(atMost: 20) { text in
            text[0] = UInt8(ascii: "\"")
            text[1] = UInt8(ascii: "0")
            text[2] = UInt8(ascii: "x")
            var rest = value
            var index = digits + 2
            while index > 2 {
                let digit = UInt8(truncatingIfNeeded: rest & 15)
                text[index] = digit &+ (digit < 10 ? UInt8(ascii: "0") : UInt8(ascii: "a") - 10)
                rest >>= 4
                index -= 1
            }
            text[digits + 3] = UInt8(ascii: "\"")
            return digits + 4
        }
    }

    /// Appends text that needs no escaping.
    mutating func appendASCII(_ text: String) {
        var text = text
        text.withUTF8 { append($0) }
    }

    /// Appends `text`, with the characters escaped that a JSON string can't contain.
    mutating func appendEscaped(_ text: String) {
        var text = text
        text.withUTF8 { utf8 in
            var plain = 0
            for index in utf8.indices {
                let byte = utf8[index]
                guard byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
                else { continue }
                append(UnsafeBufferPointer(rebasing: utf8[plain..<index]))
                appendEscape(byte)
                plain = index + 1
            }
            append(UnsafeBufferPointer(rebasing: utf8[plain...]))
        }
    }

    private mutating func appendEscape(_ byte: UInt8) {
        append(UInt8(ascii: "\\"))
        switch byte {
        case UInt8(ascii: "\n"): append(UInt8(ascii: "n"))
        case UInt8(ascii: "\r"): append(UInt8(ascii: "r"))
        case UInt8(ascii: "\t"): append(UInt8(ascii: "t"))
        case 0..<0x20:
            append(UInt8(ascii: "u"))
            append(UInt8(ascii: "0"))
            append(UInt8(ascii: "0"))
            append(UInt8(ascii: "0") + byte >> 4)
            let digit = byte & 15
            append(digit < 10 ? digit + UInt8(ascii: "0") : digit + UInt8(ascii: "a") - 10)
        default: append(byte)
        }
    }

    /// Appends `data` in base64, padded (RFC 4648, section 4).
    mutating func appendBase64(_ data: [UInt8]) {
        let alphabet = Array(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        put(atMost: (data.count + 2) / 3 * 4) { text in
            var index = 0
            var at = 0
            while index < data.count {
                let left = data.count - index
                var group = Int(data[index]) << 16
                if left > 1 { group |= Int(data[index + 1]) << 8 }
                if left > 2 { group |= Int(data[index + 2]) }
                text[at] = alphabet[group >> 18]
                text[at + 1] = alphabet[group >> 12 & 63]
                text[at + 2] = left > 1 ? alphabet[group >> 6 & 63] : UInt8(ascii: "=")
                text[at + 3] = left > 2 ? alphabet[group & 63] : UInt8(ascii: "=")
                index += 3
                at += 4
            }
            return at
        }
    }
}
