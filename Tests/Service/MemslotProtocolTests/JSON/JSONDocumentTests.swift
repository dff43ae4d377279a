import MemslotProtocol
import MemslotTestKit
import Testing

@Suite("The JSON reader")
struct JSONDocumentTests {
    private func fault(_ bytes: [UInt8], depthLimit: Int = 64) -> JSONError? {
        do throws(JSONError) {
            _ = try JSONDocument(parsing: bytes, depthLimit: depthLimit)
            return nil
        } catch { return error }
    }

    private func fault(_ text: String) -> JSONError? { fault(Array(text.utf8)) }

    @Test(
        "a fault is reported with its problem, line and column",
        arguments: [
            ("", JSONProblem.empty, 1, 1),
            (" \n ", .empty, 2, 2),
            ("x", .noValue, 1, 1),
            ("nul", .noValue, 1, 1),
            ("[1,]", .noValue, 1, 4),
            ("[,1]", .noValue, 1, 2),
            ("[1 2]", .noCommaInArray, 1, 4),
            ("[1", .noCommaInArray, 1, 3),
            ("[01]", .noCommaInArray, 1, 3),
            ("{a:1}", .noName, 1, 2),
            ("{\"a\":1,}", .noName, 1, 8),
            ("{\"a\" 1}", .noColon, 1, 6),
            ("{\"a\":1]", .noCommaInObject, 1, 7),
            ("{\"é\":\n 1 1}", .noCommaInObject, 2, 4),
            ("\"é€𝄞\" 1", .trailing, 1, 7),
            ("{} {}", .trailing, 1, 4),
            ("\"abc", .unterminatedString, 1, 5),
            ("\"abc\\", .unterminatedString, 1, 6),
            ("\"a\u{1}\"", .controlCharacter, 1, 3),
            ("\"\n\"", .controlCharacter, 1, 2),
            ("\"abcdefg\t\"", .controlCharacter, 1, 9),
            ("\"\\x\"", .badEscape, 1, 2),
            ("\"\\u12g4\"", .badEscape, 1, 2),
            ("\"\\u12", .badEscape, 1, 2),
            ("\"\\ud800\"", .loneSurrogate, 1, 2),
            ("\"\\udc00\\ud800\"", .loneSurrogate, 1, 2),
            ("\"\\ud800\\u0041\"", .loneSurrogate, 1, 2),
            ("-", .badNumber, 1, 2),
            ("1.", .badNumber, 1, 3),
            ("1e", .badNumber, 1, 3),
            ("+1", .noValue, 1, 1),
            (".5", .noValue, 1, 1),
            ("\u{FEFF}{}", .noValue, 1, 1),
        ])
    func faults(text: String, problem: JSONProblem, line: Int, column: Int) {
        let found = fault(text)
        #expect(found?.problem == problem)
        #expect(found?.line == line)
        #expect(found?.column == column)
    }

    @Test(
        "bytes that are not UTF-8 are refused where they stand",
        arguments: [
            [0x80], [0xBF], [0xC0, 0x80], [0xC1, 0xBF], [0xC3], [0xE0, 0x80, 0x80],
            [0xE0, 0x9F, 0xBF], [0xED, 0xA0, 0x80], [0xED, 0xBF, 0xBF], [0xF0, 0x8F, 0xBF, 0xBF],
            [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xFE], [0xFF], [0xE2, 0x82],
            [0xE2, 0x28, 0xA1], [0xF0, 0x90, 0x28, 0xBC], [0xF0, 0x90, 0x80],
        ])
    func invalidUTF8(bytes: [UInt8]) {
        let found = fault(Array("[\"ab".utf8) + bytes + Array("\"]".utf8))
        #expect(found?.problem == .invalidUTF8)
        #expect(found?.offset == 4)
        #expect(fault(Array("[\"ab".utf8) + bytes) != nil)
    }

    @Test("every kind of UTF-8 sequence is accepted, at its bounds")
    func validUTF8() throws {
        let text = "\u{80}\u{7FF}\u{800}\u{D7FF}\u{E000}\u{FFFF}\u{10000}\u{10FFFF}"
        #expect(try JSONDocument(parsing: "\"\(text)\"").root.string == text)
    }

    @Test("containers nest up to the limit, and a deeper one is an error")
    func depth() {
        let deep = { (depth: Int) in
            [UInt8](repeating: 0x5B, count: depth) + [UInt8](repeating: 0x5D, count: depth)
        }
        #expect(fault(deep(64)) == nil)
        #expect(fault(deep(65))?.problem == .tooDeep(limit: 64))
        #expect(fault(deep(65))?.column == 65)
        #expect(fault([UInt8](repeating: 0x5B, count: 1_000_000))?.problem == .tooDeep(limit: 64))
        #expect(fault(deep(100_000), depthLimit: 100_000) == nil)
    }

    @Test("no prefix of a document and no binary traps")
    func prefixes() {
        let text = Array(
            #"{"a":[1,-2.5e+3,"x\u00e9\ud834\udd1e€",{"b":null,"c":[true,false,{}]}]}"#.utf8)
        #expect(fault(text) == nil)
        #expect(text.indices.allSatisfy { fault(Array(text[..<$0])) != nil })
        var random = SeededRandom(seed: 3)
        let accepted = (0..<2_000).filter { _ in
            let length = Int.random(in: 2...200, using: &random)
            let bytes = (0..<length).map { _ in UInt8.random(in: 0x20...0xFF, using: &random) }
            return fault([0x5B] + bytes) == nil
        }
        #expect(accepted.isEmpty)
    }

    @Test("a part of a buffer is read as if it stood alone")
    func range() throws {
        let bytes = Array("[1]\n{\"a\":2}\n[x".utf8)
        let document = try JSONDocument(parsing: bytes, in: 4..<11)
        #expect(document.root["a"]?.uint64 == 2)
        #expect(document.root.rawText == "{\"a\":2}")
        let error = #expect(throws: JSONError.self) {
            try JSONDocument(parsing: bytes, in: 12..<14)
        }
        #expect(error?.offset == 1)
        #expect(error?.column == 2)
    }
}
