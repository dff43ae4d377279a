extension JSONWriter {
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
