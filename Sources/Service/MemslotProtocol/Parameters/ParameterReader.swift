internal import Glibc

/// Reads parameters strictly, and records the first fault instead of throwing it.
///
/// After a fault every read returns a default, so that decoders need no error path of their own.
package struct ParameterReader {
    package let document: JSONDocument
    /// The node of `params`.
    private let root: Int
    package private(set) var fault: ParameterFault?

    package init(_ params: JSONValue) {
        document = params.document
        root = params.node
    }

    /// Reads the object at `node`: each member at most once, and only members of the table.
    @inline(__always)
    package mutating func object<Object: ParameterObject>(
        at node: Int, into object: inout Object, among table: MemberTable<Object.Member>
    ) {
        guard document.nodes[node].kind == .object else { return failKind(at: node, "an object") }
        let end = document.nodes[node].extent
        var seen: UInt32 = 0
        var guess = 0
        var key = node + 1
        while key < end {
            guard let index = table.index(of: key, in: document, guess: guess) else {
                let form = Object.form(insteadOf: document.text(of: key))
                return failUnknown(key, among: table.names, form)
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

    /// Reads the object at `node`, which may have all members of its kind.
    @inline(__always)
    package mutating func object<Object: ParameterObject>(at node: Int, into object: inout Object) {
        self.object(at: node, into: &object, among: Object.table)
    }

    @inline(__always)
    package mutating func array(at node: Int, _ element: (Int, inout ParameterReader) -> Void) {
        guard document.nodes[node].kind == .array else { return failKind(at: node, "an array") }
        let end = document.nodes[node].extent
        var next = node + 1
        while next < end, fault == nil {
            element(next, &self)
            next = document.next(after: next)
        }
    }

    /// Records a fault of the value at `node`, or of its member `member`. The message follows the
    /// path. The fault points at `place`, or at `node`.
    @inline(never)
    package mutating func fail(
        at node: Int, member: String? = nil, pointingAt place: Int? = nil, _ message: String
    ) {
        guard fault == nil else { return }
        var path = document.path(from: root, to: node)
        if let member { path += (path.isEmpty ? "" : ".") + member }
        fault = ParameterFault(path: path, message: message, node: place ?? node)
    }

    @inline(never)
    package mutating func failKind(at node: Int, _ expected: String) {
        fail(at: node, "expected \(expected), found \(document.nodes[node].kind)")
    }

    @inline(never)
    private mutating func failUnknown(_ key: Int, among names: [String], _ form: String?) {
        let nearest = nearestName(to: document.text(of: key), among: names)
        let known = names.isEmpty ? "no members" : names.joined(separator: ", ")
        let hint = form ?? nearest.map { "did you mean \"\($0)\"?" } ?? "known here: \(known)"
        fail(at: key + 1, pointingAt: key, "unknown member; \(hint)")
    }
}

/// The first fault of an object of parameters.
package struct ParameterFault {
    /// The path from the outermost object.
    package var path: String
    /// The fault, without the path.
    package var message: String
    /// The node to point at.
    package var node: Int
}

/// An object of parameters: its members, and how each is read.
package protocol ParameterObject: Sendable {
    associatedtype Member: RawRepresentable<String> & CaseIterable & Sendable

    /// The members. Stored, because every object reads it.
    static var table: MemberTable<Member> { get }
    init()
    mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader)

    /// Validates the members together, after all were read.
    mutating func finish(at node: Int, reader: inout ParameterReader)

    /// What to write instead of a member that people try; `nil` where nothing better is known than
    /// a similar name.
    static func form(insteadOf name: String) -> String?
}

extension ParameterObject {
    package mutating func finish(at node: Int, reader: inout ParameterReader) {}
    package static func form(insteadOf name: String) -> String? { nil }

    /// Decodes the parameters of a request, which may have the members of `table`. Throws the first
    /// fault, `invalid-params` with its path.
    package init(
        _ params: JSONValue?, among table: MemberTable<Member> = Self.table
    ) throws(ProtocolError) {
        self.init()
        guard let params else {
            if let name = table.firstRequired {
                throw .invalid(name, "missing; the request has no params")
            }
            return
        }
        var reader = ParameterReader(params)
        if params.kind == .array {
            reader.fail(at: params.node, "parameters go by name; expected an object")
        }
        reader.object(at: params.node, into: &self, among: table)
        if let fault = reader.fault {
            throw ProtocolError(
                ErrorData(.invalidParams, path: fault.path),
                message: (fault.path.isEmpty ? "params" : fault.path) + ": " + fault.message)
        }
    }
}

/// The members that an object may have, and those that are required.
package struct MemberTable<Member: RawRepresentable & CaseIterable & Sendable>: Sendable
where Member.RawValue == String {
    /// The members in the order of their declaration.
    package let members: [Member]
    package let names: [String]
    /// All names in one buffer, because reading an array of arrays retains the inner array.
    private let text: [UInt8]
    /// Where each name begins in ``text``, and where the last ends.
    private let bounds: [Int]
    /// A bit for each required member.
    package let required: UInt32

    package var firstRequired: String? {
        required == 0 ? nil : names[required.trailingZeroBitCount]
    }

    /// A table of at most 32 members, by default of all.
    package init(_ members: [Member] = Array(Member.allCases), required: (Member) -> Bool) {
        self.members = members
        names = members.map(\.rawValue)
        text = names.flatMap { Array($0.utf8) }
        bounds = names.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1.utf8.count) }
        var bits: UInt32 = 0
        for (index, member) in members.enumerated() where required(member) { bits |= 1 << index }
        self.required = bits
    }

    /// The index of the member whose name is at `node`; `nil` if the table lacks it. `guess` is
    /// tried first: members mostly come in the table's order.
    @inline(__always)
    package func index(of node: Int, in document: JSONDocument, guess: Int) -> Int? {
        let entry = document.nodes[node]
        if entry.hasEscapes { return names.firstIndex { document.text(of: node, equals: $0) } }
        let count = members.count
        var index = guess < count ? guess : 0
        for _ in 0..<count {
            let start = bounds[index]
            if bounds[index + 1] - start == entry.extent,
                document.hasBytes(at: Int(entry.offset), text, from: start, count: entry.extent)
            {
                return index
            }
            index = index + 1 == count ? 0 : index + 1
        }
        return nil
    }
}

extension JSONDocument {
    /// Whether `count` bytes of the source from `offset` are those of `text` from `start`.
    @inline(__always)
    fileprivate func hasBytes(
        at offset: Int, _ text: [UInt8], from start: Int, count: Int
    ) -> Bool {
        // Pointers and words, because comparing single bytes costs half of a decoder's time. The
        // slices check both ranges.
        bytes.withUnsafeBytes { bytes in
            text.withUnsafeBytes { text in
                let left = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
                let right = UnsafeRawBufferPointer(rebasing: text[start..<start + count])
                return count < 8
                    ? left.isEqual(to: right, by: UInt32.self)
                    : left.isEqual(to: right, by: UInt64.self)
            }
        }
    }
}

extension UnsafeRawBufferPointer {
    /// Compares as many bytes by words, of which the last overlaps the one before; by single bytes
    /// where there are fewer than a word has.
    @inline(__always)
    fileprivate func isEqual<Word: FixedWidthInteger>(
        to other: UnsafeRawBufferPointer, by word: Word.Type
    ) -> Bool {
        let size = MemoryLayout<Word>.size
        guard count >= size else { return elementsEqual(other) }
        func isEqual(at offset: Int) -> Bool {
            loadUnaligned(fromByteOffset: offset, as: word)
                == other.loadUnaligned(fromByteOffset: offset, as: word)
        }
        var offset = 0
        while offset < count - size {
            guard isEqual(at: offset) else { return false }
            offset += size
        }
        return isEqual(at: count - size)
    }
}
