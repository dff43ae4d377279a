public import Memslots

/// The parameters of `memslots.translate`.
public struct TranslateParameters: Sendable {
    /// The VM's name.
    public var vm: String
    /// The addresses, in the order of the request.
    public var addresses: [GuestPhysicalAddress]
    /// The address space, 0 if omitted. Any number.
    public var addressSpace: UInt64 = 0

    /// A translation of `addresses` by the array of the VM named `vm`.
    public init(vm: String, addresses: [GuestPhysicalAddress], addressSpace: UInt64 = 0) {
        self.vm = vm
        self.addresses = addresses
        self.addressSpace = addressSpace
    }
}

/// The parameters of `memslots.history`.
public struct HistoryParameters: Sendable {
    /// The VM's name.
    public var vm: String
    /// How many receipts; `nil` for all that are kept.
    public var last: UInt64?
    /// Only receipts of earlier generations than this; `nil` for all.
    public var before: UInt64?

    /// The last receipts of the VM named `vm`.
    public init(vm: String, last: UInt64? = nil, before: UInt64? = nil) {
        self.vm = vm
        self.last = last
        self.before = before
    }
}

/// The parameters of `dirtylog.get`.
public struct DirtyLogParameters: Sendable {
    /// The VM's name.
    public var vm: String
    /// The slot's id. Any number.
    public var slot: UInt64
    /// The address space, 0 if omitted. Any number.
    public var addressSpace: UInt64 = 0
    /// A Boolean value that indicates whether the returned bits are cleared.
    public var clears = false
    /// The first page.
    public var firstPage: UInt64 = 0
    /// How many pages; `nil` for all from the first.
    public var pageCount: UInt64?

    /// The dirty log of a slot of the VM named `vm`.
    public init(vm: String, slot: UInt64, clears: Bool = false) {
        self.vm = vm
        self.slot = slot
        self.clears = clears
    }
}

extension TranslateParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable { case vm, addresses, addressSpace }

    package static let table = MemberTable<Member> { $0 != .addressSpace }

    package init() { self.init(vm: "", addresses: []) }

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

extension HistoryParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable { case vm, last, before }

    package static let table = MemberTable<Member> { $0 == .vm }

    package init() { self.init(vm: "") }

    package mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        switch member {
        case .vm: vm = reader.string(at: node)
        case .last: last = reader.integer(at: node)
        case .before: before = reader.integer(at: node)
        }
    }
}

extension DirtyLogParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable {
        case vm, slot, addressSpace, clear, firstPage, pageCount
    }

    package static let table = MemberTable<Member> { $0 == .vm || $0 == .slot }

    package init() { self.init(vm: "", slot: 0) }

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
