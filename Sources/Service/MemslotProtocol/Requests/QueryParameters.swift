public import Memslots

/// The parameters of `memslots.translate`.
public struct TranslateParameters: Sendable {
    /// The VM's name.
    public var vm: String
    /// The addresses and ranges, in the order of the request.
    public var addresses: [TranslatedPlace]
    /// The address space, 0 if omitted. Any number.
    public var addressSpace: UInt64 = 0

    /// A translation of `addresses` by the array of the VM named `vm`.
    public init(vm: String, addresses: [GuestPhysicalAddress], addressSpace: UInt64 = 0) {
        self.vm = vm
        self.addresses = addresses.map { .address($0) }
        self.addressSpace = addressSpace
    }
}

/// What a translation asks for.
public enum TranslatedPlace: Hashable, Sendable {
    /// The place of one byte.
    case address(GuestPhysicalAddress)
    /// The pieces of a range, which does not wrap 2^64.
    case range(GuestRange)
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
        (self.vm, self.last, self.before) = (vm, last, before)
    }
}

/// The parameters of `dirtylog.get`.
public struct DirtyLogParameters: Sendable {
    /// The VM's name.
    public var vm: String
    /// The slot's id, any number; `nil` for the log of ``memory``.
    public var slot: UInt64?
    /// The name of a memory object whose dirty pages are wanted, over all slots that map it.
    public var memory: String?
    /// The address space of the slot; 0 if `nil`. Any number.
    public var addressSpace: UInt64?
    /// A Boolean value that indicates whether the returned bits are cleared.
    public var clears = false
    /// The first page.
    public var firstPage: UInt64 = 0
    /// How many pages; `nil` for all from the first.
    public var pageCount: UInt64?

    /// The dirty pages of a memory object of the VM named `vm`.
    public init(vm: String, memory: String, clears: Bool = false) {
        (self.vm, self.memory, self.clears) = (vm, memory, clears)
    }

    /// The dirty log of a slot of the VM named `vm`.
    public init(vm: String, slot: UInt64, clears: Bool = false) {
        (self.vm, self.slot, self.clears) = (vm, slot, clears)
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
            var addresses: [TranslatedPlace] = []
            addresses.reserveCapacity(
                JSONValue(document: reader.document, node: node).elements.count)
            reader.array(at: node) { element, reader in
                switch reader.document.nodes[element].kind {
                case .object: addresses.append(.range(Self.range(at: element, &reader)))
                case .array: reader.failKind(at: element, "an address, or \(Self.rangeForm)")
                default: addresses.append(.address(.init(reader.quantity(at: element))))
                }
            }
            self.addresses = addresses
        case .addressSpace: addressSpace = reader.integer(at: node)
        }
    }

    private static let ranges = MemberTable<PrivateRangeParameters.Member>(
        [.guestPhysicalAddress, .size]
    ) { _ in true }

    private static func range(at node: Int, _ reader: inout ParameterReader) -> GuestRange {
        var given = PrivateRangeParameters()
        reader.object(at: node, into: &given, among: ranges)
        let (address, size) = (given.guestPhysicalAddress, given.size)
        if size != .zero, address.rawValue > UInt64.max - (size.rawValue - 1) {
            reader.fail(at: node, member: "size", "\(size) bytes from \(address) on wrap 2^64")
        }
        return GuestRange(address: address, size: size)
    }

    private static let rangeForm = #"{"guestPhysicalAddress":"0x3ffffff0","size":64}"#

    package static func form(insteadOf name: String) -> String? {
        ["ranges", "range", "size"].contains(name)
            ? "a range is an element of addresses: \(rangeForm)" : nil
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
        case vm, slot, memory, addressSpace, clear, firstPage, pageCount
    }

    package static let table = MemberTable<Member> { $0 == .vm }

    package init() {
        self.init(vm: "", slot: 0)
        slot = nil
    }

    package mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        switch member {
        case .vm: vm = reader.string(at: node)
        case .slot: slot = reader.integer(at: node)
        case .memory: memory = reader.string(at: node)
        case .addressSpace: addressSpace = reader.integer(at: node)
        case .clear: clears = reader.bool(at: node)
        case .firstPage: firstPage = reader.integer(at: node)
        case .pageCount: pageCount = reader.integer(at: node)
        }
    }

    package mutating func finish(at node: Int, reader: inout ParameterReader) {
        if memory == nil {
            if slot == nil { reader.fail(at: node, member: "slot", "missing; or give memory") }
        } else if slot != nil {
            reader.fail(at: node, member: "memory", "give either slot or memory")
        } else if addressSpace != nil {
            let reason = "the slots of a memory object are read in all address spaces; omit it"
            reader.fail(at: node, member: "addressSpace", reason)
        }
    }
}
