/// The parameters of a method that has none: `server.info`, `vm.list`, `metrics.get`.
public struct NoParameters: Sendable {
    package init() {}

    /// Reads the parameters of a request.
    ///
    /// - Throws: the first fault, `invalid-params` with its path.
    public init(_ params: JSONValue?) throws(ProtocolError) {
        self = try ParameterReader.read(params, as: Self.self)
    }
}

extension NoParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable {
        // An enum of no cases can't have raw values.
        case none = ""

        package static let allCases: [Member] = []
    }

    package static let table = MemberTable<Member> { _ in false }

    package mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
    }
}

/// The parameters of a method that takes the VM alone: `vm.destroy`, `vm.recover`, `memory.list`,
/// `memslots.get`.
public struct VMParameters: Sendable {
    /// The VM's name.
    public var vm = ""

    package init() {}

    /// Reads the parameters of a request.
    ///
    /// - Throws: the first fault, `invalid-params` with its path.
    public init(_ params: JSONValue?) throws(ProtocolError) {
        self = try ParameterReader.read(params, as: Self.self)
    }
}

extension VMParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable { case vm }

    package static let table = MemberTable<Member> { _ in true }

    package mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        vm = reader.string(at: node)
    }
}

/// The parameters of `events.subscribe` and `events.unsubscribe`.
public struct EventsParameters: Sendable {
    /// The VM's name; `nil` for all VMs.
    public var vm: String?

    package init() {}

    /// Reads the parameters of a request.
    ///
    /// - Throws: the first fault, `invalid-params` with its path.
    public init(_ params: JSONValue?) throws(ProtocolError) {
        self = try ParameterReader.read(params, as: Self.self)
    }
}

extension EventsParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable { case vm }

    package static let table = MemberTable<Member> { _ in false }

    package mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        vm = reader.string(at: node)
    }
}
