/// A value of a JSON document: the document and a place on its tape.
///
/// Cheap to copy; it keeps its document alive.
package struct JSONValue: Sendable {
    package let document: JSONDocument
    package let node: Int

    @inline(__always)
    package init(document: JSONDocument, node: Int) {
        (self.document, self.node) = (document, node)
    }

    package var kind: JSONKind { document.nodes[node].kind }
    package var isNull: Bool { kind == .null }

    /// The value of `true` or `false`; `nil` for anything else.
    package var bool: Bool? {
        switch kind {
        case .true: true
        case .false: false
        default: nil
        }
    }

    /// The text of a string, its escapes resolved; `nil` for anything else.
    package var string: String? { kind == .string ? document.text(of: node) : nil }

    /// Whether the value is a string of exactly this text. Makes no `String`.
    package func isString(_ text: String) -> Bool {
        kind == .string && document.text(of: node, equals: text)
    }

    /// The number, if it is written as an integer of 0 … 2^64 − 1; `nil` for anything else.
    package var uint64: UInt64? {
        guard case .success(let number) = unsignedInteger else { return nil }
        return number
    }

    /// The number, if it is written as an integer that fits an `Int`; `nil` for anything else.
    package var int: Int? {
        guard kind == .number else { return nil }
        return Int(rawText)
    }

    /// The number, or why it is not an integer of 0 … 2^64 − 1.
    package var unsignedInteger: Result<UInt64, IntegerProblem> {
        document.unsignedInteger(at: node)
    }

    /// The members of an object, in the order written; none for anything else.
    package var members: JSONChildren<JSONMember> { JSONChildren(of: self) }

    /// The elements of an array; none for anything else.
    package var elements: JSONChildren<JSONValue> { JSONChildren(of: self) }

    /// The first member named `name`; `nil` if there is none, or this is no object.
    ///
    /// Cost: a walk over the members.
    package subscript(name: String) -> JSONValue? {
        for member in members where member.isNamed(name) { return member.value }
        return nil
    }

    /// The value's place in the document's source, quotes included.
    package var sourceRange: Range<Int> { document.sourceRange(of: node) }

    /// The bytes of the value exactly as written.
    package var rawBytes: ArraySlice<UInt8> { document.bytes[sourceRange] }

    /// The text of the value exactly as written.
    package var rawText: String { String(decoding: rawBytes, as: UTF8.self) }

    /// The line and column of the value. Cost: a walk from the document's beginning.
    package var position: SourcePosition { document.position(of: sourceRange.lowerBound) }
}

package enum JSONKind: UInt8, Sendable, CustomStringConvertible {
    case object, array, string, number, `true`, `false`, null

    /// The kind with its article, as a message names it: `an object`.
    package var description: String {
        switch self {
        case .object: "an object"
        case .array: "an array"
        case .string: "a string"
        case .number: "a number"
        case .true, .false: "a boolean"
        case .null: "null"
        }
    }
}

/// What a container contains: the elements of an array, or the members of an object.
package protocol JSONChild: Sendable {
    static var container: JSONKind { get }

    /// The child whose first node is `node`.
    init(document: JSONDocument, node: Int)

    /// The element, or the member's value.
    var value: JSONValue { get }
}

/// The children of a container in the order written.
package struct JSONChildren<Child: JSONChild>: Sequence, IteratorProtocol, Sendable {
    private let document: JSONDocument
    private var node: Int
    private let end: Int

    /// None where `value` is of another kind.
    init(of value: JSONValue) {
        document = value.document
        let isContainer = value.kind == Child.container
        node = isContainer ? value.node + 1 : 0
        end = isContainer ? document.nodes[value.node].extent : 0
    }

    package mutating func next() -> Child? {
        guard node < end else { return nil }
        let child = Child(document: document, node: node)
        node = document.next(after: child.value.node)
        return child
    }

    /// How many children are left. Cost: a walk over them.
    package var count: Int { reduce(0) { count, _ in count + 1 } }
}

extension JSONValue: JSONChild {
    package static var container: JSONKind { .array }
    package var value: JSONValue { self }
}

/// A member of an object: its name and its value. A name may be repeated.
package struct JSONMember: JSONChild {
    package static var container: JSONKind { .object }

    package let key, value: JSONValue

    package init(document: JSONDocument, node: Int) {
        key = JSONValue(document: document, node: node)
        value = JSONValue(document: document, node: node + 1)
    }

    /// The name, its escapes resolved.
    package var name: String { key.document.text(of: key.node) }

    /// Whether this is the member's name. Makes no `String`.
    package func isNamed(_ name: String) -> Bool { key.document.text(of: key.node, equals: name) }
}
