import MemslotProtocol
import MemslotScenario
import Testing

@Suite("An expectation")
struct ScenarioExpectationTests {
    private func match(_ expected: String, _ actual: String) throws -> [ScenarioExpectation
        .Mismatch]
    {
        ScenarioExpectation.match(
            expected: try JSONDocument(parsing: expected).root,
            actual: try JSONDocument(parsing: actual).root)
    }

    @Test(
        "a subset is met",
        arguments: [
            ("{}", #"{"a":1}"#), (#"{"a":{"b":[1]}}"#, #"{"c":0,"a":{"b":[1],"d":null}}"#),
            ("1", "1.0"), ("1e2", "100"), ("0.10", "1e-1"), ("-0", "0"), ("0e9", "0.000"),
            ("18446744073709551615", "18446744073709551615"), ("1200e-2", "12"),
            (#""\u0061""#, #""a""#), ("null", "null"), ("true", "true"), ("[]", "[]"),
            (#"[{"a":1},2]"#, #"[{"a":1,"b":2},2]"#),
        ])
    func met(expected: String, actual: String) throws {
        #expect(try match(expected, actual).isEmpty)
    }

    @Test(
        "a difference is returned with its path",
        arguments: [
            (#"{"a":1}"#, "{}", "a", "1", nil),
            (#"{"a":{"b":[1,2]}}"#, #"{"a":{"b":[1,3]}}"#, "a.b[1]", "2", "3"),
            (#"{"a":[1]}"#, #"{"a":[1,2]}"#, "a", "[1]", "[1,2]"),
            ("[]", "{}", "", "[]", "{}"), ("1", "\"1\"", "", "1", "\"1\""),
            ("9007199254740993", "9007199254740992", "", "9007199254740993", "9007199254740992"),
            ("1", "-1", "", "1", "-1"), ("1e400", "1e401", "", "1e400", "1e401"),
            ("0.1", "0.10000000000000000001", "", "0.1", "0.10000000000000000001"),
            ("true", "false", "", "true", "false"), ("null", "0", "", "null", "0"),
            ("\"é\"", "\"e\u{301}\"", "", "\"é\"", "\"e\u{301}\""),
            (#"{"a b":1}"#, #"{"a b":2}"#, #""a b""#, "1", "2"),
        ] as [(String, String, String, String, String?)])
    func notMet(
        expected: String, actual: String, path: String, wanted: String, got: String?
    ) throws {
        let mismatches = try match(expected, actual)
        #expect(mismatches.count == 1)
        #expect(mismatches.first?.path == path)
        #expect(mismatches.first?.wanted == wanted)
        #expect(mismatches.first?.got == got)
    }

    @Test("every mismatch is returned, up to the limit")
    func several() throws {
        #expect(try match(#"{"a":1,"b":2,"c":3}"#, #"{"b":2}"#).map(\.path) == ["a", "c"])
        let ones = "[" + String(repeating: "1,", count: 999) + "1]"
        let twos = "[" + String(repeating: "2,", count: 999) + "2]"
        #expect(try match(ones, twos).count == ScenarioExpectation.limit)
    }

    @Test("a reply is held against result or error; without expectation it must succeed")
    func replies() throws {
        let success = try JSONDocument(parsing: #"{"jsonrpc":"2.0","id":1,"result":{"a":1}}"#).root
        let failure = try JSONDocument(parsing: #"{"id":1,"error":{"code":-32001}}"#).root
        func check(_ expected: String?, _ reply: JSONValue) throws -> [ScenarioExpectation
            .Mismatch]
        {
            let expected = try expected.map { try JSONDocument(parsing: $0).root }
            return ScenarioExpectation.mismatches(expected: expected, reply: reply)
        }
        #expect(try check(nil, success).isEmpty)
        #expect(try check(nil, failure).first?.got == #"an error: {"code":-32001}"#)
        #expect(try check(#"{"result":{"a":1}}"#, success).isEmpty)
        #expect(try check(#"{"result":{"a":2}}"#, success).first?.path == "result.a")
        #expect(try check(#"{"result":{}}"#, failure).first?.path == "result")
        #expect(try check(#"{"error":{"code":-32001}}"#, failure).isEmpty)
        #expect(try check(#"{"error":{}}"#, success).first?.got == #"a result: {"a":1}"#)
    }
}
