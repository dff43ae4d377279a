import MemslotProtocol
import MemslotTestKit
import Testing

@Suite("Hexadecimal addresses")
struct HexadecimalTests {
    @Test("random digits of every length are read as the standard library reads them")
    func randomDigits() {
        var random = SeededRandom(seed: 5)
        let digits = Array("0123456789abcdefABCDEF")
        var failures: [String] = []
        for _ in 0..<20_000 {
            let count = Int.random(in: 1...20, using: &random)
            let text = String((0..<count).map { _ in digits.randomElement(using: &random) ?? "0" })
            let expected = UInt64(text, radix: 16)
            if read("0x" + text) != expected { failures.append(text) }
        }
        #expect(failures.isEmpty, "\(failures.count): \(failures.prefix(5))")
    }

    @Test("no other byte passes for a digit, wherever it stands")
    func otherBytes() {
        let digits = Set("0123456789abcdefABCDEF".utf8)
        var failures: [String] = []
        for place in 0..<16 {
            // A string escapes bytes below a blank; a character above ASCII has several bytes.
            for byte in UInt8(0x20)...0x7F where !digits.contains(byte) {
                if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { continue }
                var text = Array("0123456789abcdef".utf8)
                text[place] = byte
                let shown = String(decoding: text, as: UTF8.self)
                if read("0x" + shown) != nil { failures.append(shown) }
            }
            var letters = Array("0123456789abcdef")
            letters[place] = "é"
            if read("0x" + String(letters)) != nil { failures.append(String(letters)) }
        }
        #expect(failures.isEmpty, "\(failures.count): \(failures.prefix(5))")
    }

    @Test("zeros in front don't count; what is 2^64 or more does")
    func limits() {
        #expect(read("0x000000000000000000000000000000001") == 1)
        #expect(read("0xffffffffffffffff") == .max)
        #expect(read("0x0ffffffffffffffff") == .max)
        #expect(read("0x10000000000000000") == nil)
        #expect(read("0x100000000000000000000000") == nil)
        #expect(read("0x") == nil)
    }

    /// What an address of this text is; `nil` if it is none.
    private func read(_ text: String) -> UInt64? {
        guard let document = try? JSONDocument(parsing: "\"\(text)\"") else { return nil }
        return try? document.root.quantity.get()
    }
}
