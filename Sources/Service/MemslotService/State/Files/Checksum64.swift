/// CRC-64/XZ (ECMA-182, reflected): finds every damage of up to 64 adjacent bits, and all but one
/// in 2^64 of the others.
struct Checksum64 {
    /// The sum of the bytes so far.
    var value: UInt64 { ~register }

    private var register = UInt64.max

    /// Eight tables of 256, so that eight bytes are taken at once.
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

    /// Adds `bytes`.
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
