/// The parameters of `dirtylog.get`.
public struct DirtyLogParameters: Sendable {
    /// The VM's name.
    public var vm = ""
    /// The slot's id. Any number.
    public var slot: UInt64 = 0
    /// The address space, 0 if left out. Any number.
    public var addressSpace: UInt64 = 0
    /// Whether the answered bits are cleared.
    public var clears = false
    /// The first page to answer.
    public var firstPage: UInt64 = 0
    /// How many pages to answer; `nil` for all from the first.
    public var pageCount: UInt64?

    package init() {}

    /// Reads the parameters of a request.
    ///
    /// - Throws: the first fault, `invalid-params` with its path.
    public init(_ params: JSONValue?) throws(ProtocolError) {
        self = try ParameterReader.read(params, as: Self.self)
    }
}

extension DirtyLogParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable {
        case vm, slot, addressSpace, clear, firstPage, pageCount
    }

    package static let table = MemberTable<Member> { $0 == .vm || $0 == .slot }

    package mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        switch member {
        case .vm: vm = reader.string(at: node)
        case .slot: slot = reader.integer(at: node)
        case .addressSpace: addressSpace = reader.integer(at: node)
        case .clear: clears = reader.bool(at: node)
        case .firstPage: firstPage = reader.integer(at: node)
        case .pageCount: pageCount = reader.integer(at: node)
        }
    }
}
