public import Memslots

/// The parameters of `memory.create`.
public struct MemoryCreateParameters: Sendable {
    /// The VM's name.
    public var vm = ""
    /// The new object's name, within the rules for names.
    public var memory = ""
    /// Bytes; may be left out only where a descriptor is passed.
    public var size: ByteCount?
    /// Where the memory comes from.
    public var source = MemorySource.made(.memfd)

    private var backing: MemoryBacking?
    private var descriptor: UInt64?

    package init() {}

    /// Reads the parameters of a request.
    ///
    /// - Throws: the first fault, `invalid-params` with its path.
    public init(_ params: JSONValue?) throws(ProtocolError) {
        self = try ParameterReader.read(params, as: Self.self)
    }
}

/// Where the memory of a new object comes from.
public enum MemorySource: Hashable, Sendable {
    /// The service makes it.
    case made(MemoryBacking)
    /// The client passed the descriptor of this index with the line.
    case passed(index: Int)
}

/// What a memory object that the service makes is of.
public enum MemoryBacking: String, CaseIterable, Sendable {
    /// A memfd of ordinary pages.
    case memfd
    /// A memfd of huge pages.
    case hugetlb
    /// A guest_memfd.
    case guestMemfd = "guest-memfd"
}

extension MemoryCreateParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable { case vm, memory, size, backing, fd }

    package static let table = MemberTable<Member> { $0 == .vm || $0 == .memory }

    package mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        switch member {
        case .vm: vm = reader.string(at: node)
        case .memory: memory = reader.newName(at: node)
        case .size: size = ByteCount(reader.quantity(at: node))
        case .backing: backing = reader.choice(at: node, default: .memfd)
        case .fd: descriptor = reader.integer(at: node)
        }
    }

    package mutating func finish(at node: Int, reader: inout ParameterReader) {
        switch (backing, descriptor) {
        case (let backing?, nil):
            source = .made(backing)
            if size == nil { reader.fail(at: node, member: "size", "missing") }
        case (nil, let index?): source = .passed(index: Int(clamping: index))
        case (nil, nil): reader.fail(at: node, member: "backing", "missing, and \"fd\" too")
        case (_?, _?):
            reader.fail(at: node, member: "fd", "expected either \"backing\" or \"fd\", found both")
        }
    }
}

/// The parameters of `memory.destroy` and `memory.export`.
public struct MemoryParameters: Sendable {
    /// The VM's name.
    public var vm = ""
    /// The object's name.
    public var memory = ""

    package init() {}

    /// Reads the parameters of a request.
    ///
    /// - Throws: the first fault, `invalid-params` with its path.
    public init(_ params: JSONValue?) throws(ProtocolError) {
        self = try ParameterReader.read(params, as: Self.self)
    }
}

extension MemoryParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable { case vm, memory }

    package static let table = MemberTable<Member> { _ in true }

    package mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        switch member {
        case .vm: vm = reader.string(at: node)
        case .memory: memory = reader.string(at: node)
        }
    }
}
