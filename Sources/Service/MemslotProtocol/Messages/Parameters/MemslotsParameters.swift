public import Memslots

/// The parameters of `memslots.translate`.
public struct TranslateParameters: Sendable {
    /// The VM's name.
    public var vm = ""
    /// The addresses, in the order of the request.
    public var addresses: [GuestPhysicalAddress] = []
    /// The address space, 0 if left out. Any number.
    public var addressSpace: UInt64 = 0

    package init() {}

    /// Reads the parameters of a request.
    ///
    /// - Throws: the first fault, `invalid-params` with its path.
    public init(_ params: JSONValue?) throws(ProtocolError) {
        self = try ParameterReader.read(params, as: Self.self)
    }
}

extension TranslateParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable { case vm, addresses, addressSpace }

    package static let table = MemberTable<Member> { $0 != .addressSpace }

    package mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        switch member {
        case .vm: vm = reader.string(at: node)
        case .addresses:
            var addresses: [GuestPhysicalAddress] = []
            reader.array(at: node) { element, reader in
                addresses.append(GuestPhysicalAddress(reader.quantity(at: element)))
            }
            self.addresses = addresses
        case .addressSpace: addressSpace = reader.integer(at: node)
        }
    }
}

/// The parameters of `memslots.history`.
public struct HistoryParameters: Sendable {
    /// The VM's name.
    public var vm = ""
    /// How many receipts; `nil` for all that are kept.
    public var last: UInt64?

    package init() {}

    /// Reads the parameters of a request.
    ///
    /// - Throws: the first fault, `invalid-params` with its path.
    public init(_ params: JSONValue?) throws(ProtocolError) {
        self = try ParameterReader.read(params, as: Self.self)
    }
}

extension HistoryParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable { case vm, last }

    package static let table = MemberTable<Member> { $0 == .vm }

    package mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        switch member {
        case .vm: vm = reader.string(at: node)
        case .last: last = reader.integer(at: node)
        }
    }
}
