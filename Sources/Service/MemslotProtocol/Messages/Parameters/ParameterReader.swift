/// Reads parameters strictly, and keeps the first fault instead of throwing it.
///
/// After a fault every read gives a default, so that decoders need no error path of their own.
package struct ParameterReader {
    package let document: JSONDocument
    /// The node of `params`.
    private let root: Int
    /// The first fault.
    package private(set) var fault: ParameterFault?

    package init(_ params: JSONValue) {
        document = params.document
        root = params.node
    }

    /// Reads the parameters of a method.
    package static func read<Parameters: ParameterObject>(
        _ params: JSONValue?, as type: Parameters.Type
    ) throws(ProtocolError) -> Parameters {
        var parameters = Parameters()
        guard let params else {
            if let name = Parameters.table.firstRequired {
                throw ProtocolError(
                    ErrorData(.invalidParams, path: name),
                    message: "\(name): missing; the request has no params")
            }
            return parameters
        }
        var reader = ParameterReader(params)
        if params.kind == .array {
            reader.fail(at: params.node, "parameters go by name; expected an object")
        }
        reader.object(at: params.node, into: &parameters)
        if let fault = reader.fault {
            throw ProtocolError(
                ErrorData(.invalidParams, path: fault.path),
                message: (fault.path.isEmpty ? "params" : fault.path) + ": " + fault.message)
        }
        return parameters
    }

    /// Reads the object at `node`: each member once, none that the table doesn't have.
    @inline(__always)
    package mutating func object<Object: ParameterObject>(at node: Int, into object: inout Object) {
        guard document.nodes[node].kind == .object else { return failKind(at: node, "an object") }
        let table = Object.table
        let end = document.nodes[node].extent
        var seen: UInt32 = 0
        var guess = 0
        var key = node + 1
        while key < end {
            guard let index = table.index(of: key, in: document, guess: guess) else {
                return failUnknown(key, among: table.names)
            }
            let bit: UInt32 = 1 << UInt32(truncatingIfNeeded: index)
            guard seen & bit == 0 else {
                return fail(at: key + 1, pointingAt: key, "the member is given twice")
            }
            seen |= bit
            guess = index + 1
            object.read(table.members[index], at: key + 1, from: &self)
            if fault != nil { return }
            key = document.next(after: key + 1)
        }
        if table.required & ~seen != 0 {
            let index = (table.required & ~seen).trailingZeroBitCount
            return fail(at: node, member: table.names[index], "missing")
        }
        object.finish(at: node, reader: &self)
    }

    /// Reads the array at `node`, element by element.
    @inline(__always)
    package mutating func array(
        at node: Int,
        _ element: (Int, inout ParameterReader) -> Void
    ) {
        guard document.nodes[node].kind == .array else { return failKind(at: node, "an array") }
        let end = document.nodes[node].extent
        var next = node + 1
        while next < end, fault == nil {
            element(next, &self)
            next = document.next(after: next)
        }
    }

    /// Keeps a fault of the value at `node`, or of a member of it that is not there.
    ///
    /// - Parameters:
    ///   - node: the value.
    ///   - member: the member of it that is meant.
    ///   - place: the node to point at, if it is another.
    ///   - message: half a sentence, which follows the path.
    @inline(never)
    package mutating func fail(
        at node: Int, member: String? = nil, pointingAt place: Int? = nil, _ message: String
    ) {
        guard fault == nil else { return }
        var path = document.path(from: root, to: node)
        if let member { path += (path.isEmpty ? "" : ".") + member }
        fault = ParameterFault(path: path, message: message, node: place ?? node)
    }

    /// Keeps the fault of a value of the wrong kind.
    @inline(never)
    package mutating func failKind(at node: Int, _ expected: String) {
        fail(at: node, "expected \(expected), found \(document.nodes[node].kind)")
    }

    @inline(never)
    private mutating func failUnknown(_ key: Int, among names: [String]) {
        let nearest = nearestName(to: document.text(of: key), among: names)
        let known = names.isEmpty ? "no members" : names.joined(separator: ", ")
        fail(
            at: key + 1, pointingAt: key,
            "unknown member; "
                + (nearest.map { "did you mean \"\($0)\"?" } ?? "known here: \(known)"))
    }
}

/// The first thing that is wrong with an object of parameters.
package struct ParameterFault {
    /// Where, from the outermost object.
    package var path: String
    /// What, as half a sentence.
    package var message: String
    /// The node to point at.
    package var node: Int
}

/// An object of parameters: what its members are, and how each is read.
package protocol ParameterObject: Sendable {
    associatedtype Member: RawRepresentable<String> & CaseIterable & Sendable

    /// The members. Stored, because it is asked for at every object.
    static var table: MemberTable<Member> { get }

    /// The defaults.
    init()

    /// Takes the value at `node` as that of `member`.
    mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader)

    /// Judges the members together, once all were read.
    mutating func finish(at node: Int, reader: inout ParameterReader)
}

extension ParameterObject {
    package mutating func finish(at node: Int, reader: inout ParameterReader) {}
}

extension MemberTable {
    /// The name of the first member that must be there.
    package var firstRequired: String? {
        required == 0 ? nil : names[required.trailingZeroBitCount]
    }
}
