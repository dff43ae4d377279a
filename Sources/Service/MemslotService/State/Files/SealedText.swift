/// A text with its checksum in a line after it, so that a torn or damaged file is found.
enum SealedText {
    /// `crc64=`, sixteen digits, the line's end.
    static let sealLength = 23

    /// Adds the line.
    static func seal(_ text: [UInt8]) -> [UInt8] { text + seal(of: text[...]) }

    /// The text without the line; `nil` if a byte of either is not what was written.
    static func open(_ bytes: [UInt8]) -> ArraySlice<UInt8>? {
        guard bytes.count >= sealLength else { return nil }
        let text = bytes.dropLast(sealLength)
        // Compared as bytes: a digit in the other case is damage too.
        return seal(of: text) == Array(bytes.suffix(sealLength)) ? text : nil
    }

    private static func seal(of text: ArraySlice<UInt8>) -> [UInt8] {
        var checksum = Checksum64()
        text.withUnsafeBytes { checksum.add($0) }
        let digits = String(checksum.value, radix: 16)
        let zeros = String(repeating: "0", count: 16 - digits.count)
        return Array("crc64=\(zeros)\(digits)\n".utf8)
    }
}
