/// Why bytes are not a JSON document, and where.
package struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
    package var problem: JSONProblem
    /// How many bytes come before the fault.
    package var offset: Int
    /// The fault's line, from 1.
    package var line: Int
    /// The fault's column in characters (Unicode scalars), from 1.
    package var column: Int

    /// What was expected there, for an error's message.
    package var expected: String { problem.expected }

    /// `line 1, column 7: expected ":" after the member's name`.
    package var description: String { "line \(line), column \(column): \(expected)" }
}

/// Why a text is not JSON.
package enum JSONProblem: Hashable, Sendable {
    case empty, noValue, noName, noColon, noCommaInObject, noCommaInArray, trailing
    case unterminatedString, controlCharacter, badEscape, loneSurrogate, invalidUTF8, badNumber
    case tooDeep(limit: Int)
    case tooLarge(limit: Int)

    /// What was expected there, for an error's message.
    package var expected: String {
        switch self {
        case .empty: "expected a JSON value, found nothing"
        case .noValue: "expected a JSON value"
        case .noName: "expected a member's name in double quotes"
        case .noColon: "expected \":\" after the member's name"
        case .noCommaInObject: "expected \",\" or \"}\" after the member"
        case .noCommaInArray: "expected \",\" or \"]\" after the element"
        case .trailing: "expected nothing more after the JSON value"
        case .unterminatedString: "expected the closing quote of the string"
        case .controlCharacter: "expected a control character to be escaped"
        case .badEscape: "expected an escape such as \\n, \\\" or \\u0041"
        case .loneSurrogate: "expected both halves of a surrogate pair"
        case .invalidUTF8: "expected UTF-8"
        case .badNumber: "expected a number in JSON's form"
        case .tooDeep(let limit): "expected at most \(limit) levels of nesting"
        case .tooLarge(let limit): "expected at most \(limit) bytes"
        }
    }
}

/// A problem and its offset: what the scanner throws.
struct JSONFault: Error {
    var problem: JSONProblem
    var offset: Int
}
