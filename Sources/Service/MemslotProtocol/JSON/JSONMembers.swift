/// A member of an object: its name and its value.
public struct JSONMember: Sendable {
    /// The name, a string.
    public let key: JSONValue
    /// The value.
    public let value: JSONValue

    /// The name, its escapes resolved.
    public var name: String { key.document.text(of: key.node) }

    /// Whether this is the member's name. Makes no `String`.
    public func isNamed(_ name: String) -> Bool {
        key.document.text(of: key.node, equals: name)
    }
}

/// The members of an object in the order written, repeated ones too.
public struct JSONMembers: Sequence, IteratorProtocol, Sendable {
    private var children: JSONChildren

    init(of value: JSONValue) { children = JSONChildren(of: value, if: .object) }

    /// The next member.
    public mutating func next() -> JSONMember? {
        guard let key = children.next(), let value = children.next() else { return nil }
        return JSONMember(key: key, value: value)
    }
}

/// The elements of an array.
public struct JSONElements: Sequence, IteratorProtocol, Sendable {
    private var children: JSONChildren

    init(of value: JSONValue) { children = JSONChildren(of: value, if: .array) }

    /// The next element.
    public mutating func next() -> JSONValue? { children.next() }

    /// How many elements are left. Cost: a walk over them.
    public var count: Int { reduce(0) { count, _ in count + 1 } }
}

/// The values right below an array, or names and values by turns right below an object.
private struct JSONChildren: Sendable {
    private let document: JSONDocument
    private var node: Int
    private let end: Int

    /// None where `value` is of another kind.
    init(of value: JSONValue, if kind: JSONKind) {
        document = value.document
        let isKind = value.kind == kind
        node = isKind ? value.node + 1 : 0
        end = isKind ? document.nodes[value.node].extent : 0
    }

    mutating func next() -> JSONValue? {
        guard node < end else { return nil }
        defer { node = document.next(after: node) }
        return JSONValue(document: document, node: node)
    }
}
