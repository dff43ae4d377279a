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
    private let document: JSONDocument
    private var node: Int
    private let end: Int

    init(of value: JSONValue) {
        document = value.document
        let isObject = value.kind == .object
        node = isObject ? value.node + 1 : 0
        end = isObject ? document.nodes[value.node].extent : 0
    }

    /// The next member.
    public mutating func next() -> JSONMember? {
        guard node < end else { return nil }
        let member = JSONMember(
            key: JSONValue(document: document, node: node),
            value: JSONValue(document: document, node: node + 1))
        node = document.next(after: node + 1)
        return member
    }
}

/// The elements of an array.
public struct JSONElements: Sequence, IteratorProtocol, Sendable {
    private let document: JSONDocument
    private var node: Int
    private let end: Int

    init(of value: JSONValue) {
        document = value.document
        let isArray = value.kind == .array
        node = isArray ? value.node + 1 : 0
        end = isArray ? document.nodes[value.node].extent : 0
    }

    /// The next element.
    public mutating func next() -> JSONValue? {
        guard node < end else { return nil }
        let element = JSONValue(document: document, node: node)
        node = document.next(after: node)
        return element
    }

    /// How many elements are left. Cost: a walk over them.
    public var count: Int {
        var count = 0
        var node = node
        while node < end {
            count += 1
            node = document.next(after: node)
        }
        return count
    }
}
