/// Appends `data` to `text` in base64, padded (RFC 4648, section 4).
func appendBase64(_ data: [UInt8], to text: inout [UInt8]) {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    text.reserveCapacity(text.count + (data.count + 2) / 3 * 4)
    var index = 0
    while index < data.count {
        let left = data.count - index
        var group = UInt32(data[index]) << 16
        if left > 1 { group |= UInt32(data[index + 1]) << 8 }
        if left > 2 { group |= UInt32(data[index + 2]) }
        text.append(alphabet[Int(group >> 18)])
        text.append(alphabet[Int(group >> 12 & 63)])
        text.append(left > 1 ? alphabet[Int(group >> 6 & 63)] : UInt8(ascii: "="))
        text.append(left > 2 ? alphabet[Int(group & 63)] : UInt8(ascii: "="))
        index += 3
    }
}
