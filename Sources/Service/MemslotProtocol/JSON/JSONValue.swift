/// A value of a JSON document: the document and a place on its tape.
///
/// Cheap to copy; it keeps its document alive.
public struct JSONValue: Sendable {
    /// The document that the value is a part of.
    public let document: JSONDocument
    package let node: Int

    @inline(__always)
    package init(document: JSONDocument, node: Int) {
        self.document = document
        self.node = node
    }

    /// What the value is.
    public var kind: JSONKind { document.nodes[node].kind }

    /// Whether the value is `null`.
    public var isNull: Bool { kind == .null }

    /// The value of `true` or `false`; `nil` for anything else.
    public var bool: Bool? {
        switch kind {
        case .true: true
        case .false: false
        default: nil
        }
    }

    /// The text of a string, its escapes resolved; `nil` for anything else.
    public var string: String? {
        kind == .string ? document.text(of: node) : nil
    }

    /// Whether the value is a string of exactly this text. Makes no `String`.
    public func isString(_ text: String) -> Bool {
        kind == .string && document.text(of: node, equals: text)
    }

    /// The number, where it is written as an integer of 0 … 2^64 − 1; `nil` for anything else.
    public var uint64: UInt64? {
        guard case .success(let number) = unsignedInteger else { return nil }
        return number
    }

    /// The number, where it is written as an integer that an `Int` holds; `nil` for anything else.
    public var int: Int? {
        guard kind == .number else { return nil }
        return Int(rawText)
    }

    /// The number, or why it is not an integer of 0 … 2^64 − 1.
    public var unsignedInteger: Result<UInt64, IntegerProblem> {
        document.unsignedInteger(at: node)
    }

    /// The members of an object, in the order written; none for anything else.
    public var members: JSONMembers { JSONMembers(of: self) }

    /// The elements of an array; none for anything else.
    public var elements: JSONElements { JSONElements(of: self) }

    /// The first member named `name`; `nil` if there is none, or this is no object.
    ///
    /// Cost: a walk over the members.
    public subscript(name: String) -> JSONValue? {
        for member in members where member.isNamed(name) { return member.value }
        return nil
    }

    /// The first member whose name another before it has; `nil` if all names differ.
    public var repeatedMember: JSONMember? {
        var names: Set<String> = []
        for member in members where !names.insert(member.name).inserted { return member }
        return nil
    }

    /// Where the value stands in the bytes that the document was read from, quotes included.
    public var sourceRange: Range<Int> { document.sourceRange(of: node) }

    /// The bytes of the value exactly as written.
    public var rawBytes: ArraySlice<UInt8> { document.bytes[sourceRange] }

    /// The text of the value exactly as written.
    public var rawText: String { String(decoding: rawBytes, as: UTF8.self) }

    /// The line and column of the value. Cost: a walk from the document's beginning.
    public var position: SourcePosition { document.position(of: sourceRange.lowerBound) }
}
