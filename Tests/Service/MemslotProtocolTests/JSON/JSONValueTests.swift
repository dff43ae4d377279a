import MemslotProtocol
import Testing

@Suite("A JSON value")
struct JSONValueTests {
    private func value(_ text: String) throws -> JSONValue {
        try JSONDocument(parsing: text).root
    }

    @Test(
        "an unsigned integer is exact up to 2^64 − 1",
        arguments: [
            ("0", 0 as UInt64), ("1", 1), ("9007199254740993", 9_007_199_254_740_993 as UInt64),
            ("9223372036854775809", 9_223_372_036_854_775_809),
            ("18446744073709551615", UInt64.max),
        ])
    func integers(text: String, number: UInt64) throws {
        #expect(try value(text).unsignedInteger == .success(number))
    }

    @Test(
        "what is no unsigned integer is refused for its reason",
        arguments: [
            ("18446744073709551616", IntegerProblem.tooLarge),
            ("18446744073709551620", .tooLarge), ("99999999999999999999999", .tooLarge),
            ("1\(String(repeating: "0", count: 5_000))", .tooLarge),
            ("-1", .negative), ("-0", .negative), ("1.0", .float), ("1e3", .float),
            ("1E3", .float), ("-1.5", .float), ("-1e3", .float), ("\"1\"", .notANumber),
            ("null", .notANumber), ("true", .notANumber), ("[]", .notANumber),
        ])
    func noIntegers(text: String, problem: IntegerProblem) throws {
        #expect(try value(text).unsignedInteger == .failure(problem))
    }

    @Test("a signed integer is read where an Int holds it")
    func signed() throws {
        #expect(try value("-9223372036854775808").int == .min)
        #expect(try value("9223372036854775808").int == nil)
        #expect(try value("1.0").int == nil)
    }

    @Test("members and elements come in the order written, nested ones passed over")
    func order() throws {
        let object = try value(#"{"b":[1,[2,{"x":3}],{}],"a":{"b":[]},"":null}"#)
        #expect(object.members.map(\.name) == ["b", "a", ""])
        #expect(object["b"]?.elements.map(\.rawText) == ["1", #"[2,{"x":3}]"#, "{}"])
        #expect(object["b"]?.elements.count == 3)
        #expect(object["a"]?.rawText == #"{"b":[]}"#)
        #expect(object["c"] == nil)
        #expect(try value("{}").members.map(\.name).isEmpty)
        #expect(try value("[]").elements.count == 0)
        #expect(try value("7").members.map(\.name).isEmpty)
    }

    @Test("a repeated member has its name, however it is spelled")
    func repeated() throws {
        let members = Array(try value(#"{"a":1,"b":2,"\u0061":3}"#).members)
        #expect(members.map(\.name) == ["a", "b", "a"])
        #expect(members.last?.value.uint64 == 3)
    }

    @Test("names and strings compare without their escapes")
    func escapes() throws {
        let object = try value(#"{"s\u006cot":"\ud834\udd1e\n\"\\\/\b\f\r\t\u0000é"}"#)
        #expect(object["slot"]?.string == "\u{1D11E}\n\"\\/\u{8}\u{C}\r\t\u{0}é")
        #expect(object["slot"]?.isString("\u{1D11E}\n\"\\/\u{8}\u{C}\r\t\u{0}é") == true)
        #expect(object["slot"]?.isString("\u{1D11E}\n") == false)
        #expect(object["slo"] == nil)
        #expect(object["slots"] == nil)
    }

    @Test("a value knows its source, line and column")
    func source() throws {
        let object = try value("{ \"é\" : [1],\n  \"s\":\"x\\n\" }")
        #expect(object["é"]?.position == SourcePosition(line: 1, column: 9))
        #expect(object["s"]?.position == SourcePosition(line: 2, column: 7))
        #expect(object["s"]?.rawText == "\"x\\n\"")
        #expect(object["é"]?.elements.map(\.rawText) == ["1"])
    }
}
