/// A text with its checksum in a line after it, so that a torn or damaged file is detected.
enum SealedText {
    /// The length of `crc64=`, sixteen digits and the line's end.
    static let sealLength = 23

    static func seal(_ text: [UInt8]) -> [UInt8] { text + seal(of: text[...]) }

    /// Returns the text without its checksum; `nil` if they don't match.
    static func open(_ bytes: [UInt8]) -> ArraySlice<UInt8>? {
        guard bytes.count >= sealLength else { return nil }
        let text = bytes.dropLast(sealLength)
        // Compared as bytes, so that an upper-case digit is damage too.
        return seal(of: text) == Array(bytes.suffix(sealLength)) ? text : nil
    }

    /// Returns what a line of JSON and its checksum were before they were cut within the checksum,
    /// or before one byte was changed; `nil` for any other damage.
    static func restored(_ bytes: [UInt8]) -> [UInt8]? {
        let end = bytes.firstRange(of: Array("}\n".utf8))?.upperBound ?? 0
        let cut = seal(Array(bytes[..<end]))
        if end > 0, cut.starts(with: bytes) { return cut }
        guard bytes.count > sealLength else { return nil }
        var text = Array(bytes.dropLast(sealLength))
        let digits = String(decoding: bytes.dropLast().suffix(16), as: UTF8.self)
        if let sum = UInt64(digits, radix: 16),
            let (index, change) = Checksum64(of: text[...]).changedByte(before: text.count, if: sum)
        {
            text[index] ^= change
        }
        let whole = seal(text)
        return zip(whole, bytes).count(where: { $0 != $1 }) == 1 ? whole : nil
    }

    private static func seal(of text: ArraySlice<UInt8>) -> [UInt8] {
        let digits = String(Checksum64(of: text).value, radix: 16)
        let zeros = String(repeating: "0", count: 16 - digits.count)
        return Array("crc64=\(zeros)\(digits)\n".utf8)
    }
}

/// CRC-64/XZ (ECMA-182, reflected). It detects any damage of up to 64 adjacent bits, and all other
/// damage except for one case in 2^64.
struct Checksum64 {
    var value: UInt64 { ~register }

    private var register = UInt64.max

    init(of bytes: ArraySlice<UInt8>) { bytes.withUnsafeBytes { add($0) } }

    /// Eight tables of 256 values each, to process eight bytes at once.
    private static let tables: [UInt64] = {
        var tables = [UInt64](repeating: 0, count: 8 * 256)
        for index in 0..<256 {
            var value = UInt64(index)
            for _ in 0..<8 {
                value = value & 1 == 1 ? value >> 1 ^ 0xC96C_5795_D787_0F42 : value >> 1
            }
            tables[index] = value
        }
        for index in 256..<tables.count {
            let before = tables[index - 256]
            tables[index] = tables[Int(before & 0xFF)] ^ before >> 8
        }
        return tables
    }()

    /// Finds the one byte, of `count`, whose change leads from a text with the checksum `sum` to
    /// the text of this one.
    func changedByte(before count: Int, if sum: UInt64) -> (index: Int, change: UInt8)? {
        // The difference of the registers, followed backwards over bytes that are equal. The highest
        // byte of each entry of the table is unique: it shows which one a step used.
        var difference = value ^ sum
        for index in (0..<count).reversed() {
            let used = (0..<256).first { Self.tables[$0] >> 56 == difference >> 56 } ?? 0
            if Self.tables[used] == difference { return (index, UInt8(used)) }
            difference = (difference ^ Self.tables[used]) << 8 | UInt64(used)
        }
        return nil
    }

    mutating func add(_ bytes: UnsafeRawBufferPointer) {
        Self.tables.withUnsafeBufferPointer { tables in
            var register = register
            var index = 0
            while index + 8 <= bytes.count {
                let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
                register ^= UInt64(littleEndian: word)
                var next: UInt64 = 0
                for byte in 0..<8 {
                    let place = Int(register >> UInt64(8 * byte) & 0xFF)
                    next ^= tables[(7 - byte) * 256 + place]
                }
                register = next
                index += 8
            }
            for byte in bytes[index...] {
                register = tables[Int((register ^ UInt64(byte)) & 0xFF)] ^ register >> 8
            }
            self.register = register
        }
    }
}
