import Foundation
import MemslotProtocol
import MemslotTestKit
import Testing

@Suite("The JSON writer")
struct JSONWriterTests {
    private func written(_ write: (inout JSONWriter) -> Void) -> String {
        var writer = JSONWriter()
        write(&writer)
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    @Test("members and elements are separated, in the order written")
    func separators() {
        let text = written {
            $0.beginObject()
            $0.key("a")
            $0.beginArray()
            $0.endArray()
            $0.key("b")
            $0.beginArray()
            $0.integer(UInt64.max)
            $0.integer(Int.min)
            $0.bool(true)
            $0.null()
            $0.beginObject()
            $0.endObject()
            $0.endArray()
            $0.key(named: "c\"")
            $0.raw(Array("[1, 2]".utf8))
            $0.key("d")
            $0.float(1.5)
            $0.endObject()
        }
        #expect(
            text
                == #"{"a":[],"b":[18446744073709551615,-9223372036854775808,true,null,{}],"c\"":[1, 2],"d":1.5}"#
        )
    }

    @Test("a text that outgrows its room is whole, and is handed out, lent and dropped")
    func room() {
        var writer = JSONWriter(capacity: 1)
        writer.beginArray()
        for value in 0..<10_000 { writer.integer(value) }
        writer.endArray()
        let wanted = "[" + (0..<10_000).map(String.init).joined(separator: ",") + "]"
        #expect(writer.count == wanted.utf8.count)
        #expect(writer.withBytes { $0.elementsEqual(wanted.utf8) })
        var copy = writer
        copy.removeAll()
        copy.bool(false)
        #expect(copy.bytes == Array("false".utf8))
        #expect(writer.finish() == Array(wanted.utf8))
    }

    @Test("addresses are lower-case hexadecimal without leading zeros")
    func addresses() {
        for value: UInt64 in [0, 1, 15, 16, 0xABCDEF, 1 << 63, .max] {
            #expect(written { $0.address(value) } == "\"0x\(String(value, radix: 16))\"")
        }
    }

    @Test("integers are decimal")
    func integers() {
        for value: UInt64 in [0, 9, 10, 99, 100, 1 << 53 + 1, .max] {
            #expect(written { $0.integer(value) } == String(value))
        }
    }

    @Test("what a string holds is read back, by us and by Foundation")
    func strings() throws {
        let all = String(String.UnicodeScalarView((0...0x2FF).compactMap(Unicode.Scalar.init)))
        for text in ["", "plain", "\"", "a\\b", "\n\r\t\u{1F}\u{7F}é𝄞", all] {
            let json = written { $0.string(text) }
            #expect(try JSONDocument(parsing: json).root.string == text)
            let theirs = try JSONSerialization.jsonObject(
                with: Data(json.utf8), options: .fragmentsAllowed)
            #expect(theirs as? String == text)
        }
    }

    @Test("base64 is Foundation's")
    func base64() {
        var random = SeededRandom(seed: 4)
        for count in 0..<50 {
            let data = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
            #expect(written { $0.base64(data) } == "\"\(Data(data).base64EncodedString())\"")
        }
    }
}
