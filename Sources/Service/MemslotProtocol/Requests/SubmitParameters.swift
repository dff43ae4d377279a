public import Memslots

/// The parameters of `memslots.submit` and `memslots.plan`.
public struct SubmitParameters: Sendable {
    /// The VM's name.
    public var vm: String
    /// The complete array, in the order of the request.
    public var slots: [SlotParameters]
    /// The complete list of private guest ranges; `nil` leaves them as they are.
    public var attributes: [PrivateRangeParameters]?
    /// The generation that the VM must have; `nil` for any.
    public var expectedGeneration: Generation?
    /// When vCPUs are held.
    public var quiesce = SubmitOptions.Quiesce.auto
    /// How long to wait for vCPUs and readers; `nil` for the default.
    public var quiesceDeadline: Duration?

    /// A submit of `slots` to the VM named `vm`.
    public init(vm: String, slots: [SlotParameters], expectedGeneration: Generation? = nil) {
        (self.vm, self.slots, self.expectedGeneration) = (vm, slots, expectedGeneration)
    }
}

/// A private guest range as a request gives it. The list is validated as a whole.
public struct PrivateRangeParameters: Sendable, Hashable {
    /// The address space: 0, because a VM with private memory has no other. Any number.
    public var addressSpace: UInt64 = 0
    /// Where the range begins in the guest.
    public var guestPhysicalAddress = GuestPhysicalAddress(0)
    /// The size in bytes.
    public var size = ByteCount(0)

    /// An empty range at address 0.
    public init() {}
}

/// A slot as a request gives it. Each member may have any value; the array is validated as a whole.
public struct SlotParameters: Sendable, Hashable {
    /// The id; `nil` lets the service pick one. Any number.
    public var slot: UInt64?
    /// The address space, 0 if omitted. Any number.
    public var addressSpace: UInt64 = 0
    /// Where the slot begins in the guest.
    public var guestPhysicalAddress = GuestPhysicalAddress(0)
    /// The size in bytes.
    public var size = ByteCount(0)
    /// The backing in the service's own address space.
    public var userspaceAddress: UserspaceAddress?
    /// The name of the memory object that is the backing.
    public var memory: String?
    /// Where in the memory object the backing begins.
    public var memoryOffset: ByteCount?
    /// The flags; none if omitted.
    public var flags: MemslotFlags = []
    // Apart, so that the many slots without them are smaller. Inlinable, because a call copies the slot.
    @usableFromInline var rare: [Rare] = []

    @usableFromInline struct Rare: Hashable, Sendable {
        @usableFromInline var opaque: String?
        @usableFromInline var guestMemfd: String?
        @usableFromInline var guestMemfdOffset: ByteCount?
    }

    /// The token that a reply gave for a backing without a name.
    public var opaque: String? {
        @inlinable get { rare.first?.opaque }
        set { setRare(\.opaque, newValue) }
    }
    /// The name of the memory object that private memory comes from.
    public var guestMemfd: String? {
        @inlinable get { rare.first?.guestMemfd }
        set { setRare(\.guestMemfd, newValue) }
    }
    /// Where in it private memory begins.
    public var guestMemfdOffset: ByteCount? {
        @inlinable get { rare.first?.guestMemfdOffset }
        set { setRare(\.guestMemfdOffset, newValue) }
    }

    private mutating func setRare<Value>(_ path: WritableKeyPath<Rare, Value>, _ value: Value) {
        var all = rare.first ?? Rare()
        all[keyPath: path] = value
        rare = all == Rare() ? [] : [all]
    }

    /// An empty slot at address 0.
    public init() {}
}

extension SubmitParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable {
        case vm, slots, attributes, expectedGeneration, quiesce, quiesceDeadlineMs
    }

    package static let table = MemberTable<Member> { $0 == .vm || $0 == .slots }
    package init() { self.init(vm: "", slots: []) }

    package mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        switch member {
        case .vm: vm = reader.string(at: node)
        case .slots: slots = Self.list(at: node, from: &reader)
        case .attributes: attributes = Self.list(at: node, from: &reader)
        case .expectedGeneration: expectedGeneration = Generation(reader.integer(at: node))
        case .quiesce: quiesce = reader.choice(at: node, default: .auto)
        case .quiesceDeadlineMs:
            let milliseconds: UInt64 = reader.integer(at: node)
            quiesceDeadline = .milliseconds(milliseconds)
        }
    }

    @inline(__always)
    private static func list<Element: ParameterObject>(
        at node: Int, from reader: inout ParameterReader
    ) -> [Element] {
        let value = JSONValue(document: reader.document, node: node)
        var list: [Element] = []
        list.reserveCapacity(value.elements.count)
        reader.array(at: node) { element, reader in
            // Filled in place, because copying a slot counts the references to its strings.
            list.append(Element())
            reader.object(at: element, into: &list[list.count - 1])
        }
        return list
    }
}

extension PrivateRangeParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable {
        case addressSpace, guestPhysicalAddress, size
    }

    package static let table = MemberTable<Member> { $0 != .addressSpace }

    package mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        switch member {
        case .addressSpace: addressSpace = reader.integer(at: node)
        case .guestPhysicalAddress:
            guestPhysicalAddress = GuestPhysicalAddress(reader.quantity(at: node))
        case .size: size = ByteCount(reader.quantity(at: node))
        }
    }
}

extension SlotParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable {
        case slot, addressSpace, guestPhysicalAddress, size, userspaceAddress, memory
        case memoryOffset, opaque, flags, guestMemfd, guestMemfdOffset
    }

    package static let table = MemberTable<Member> { $0 == .guestPhysicalAddress || $0 == .size }

    @inline(__always)
    package mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        switch member {
        case .slot: slot = reader.integer(at: node)
        case .addressSpace: addressSpace = reader.integer(at: node)
        case .guestPhysicalAddress:
            guestPhysicalAddress = GuestPhysicalAddress(reader.quantity(at: node))
        case .size: size = ByteCount(reader.quantity(at: node))
        case .userspaceAddress: userspaceAddress = UserspaceAddress(reader.quantity(at: node))
        case .memory: memory = reader.string(at: node)
        case .memoryOffset: memoryOffset = ByteCount(reader.quantity(at: node))
        case .opaque: opaque = reader.string(at: node)
        case .flags: flags = reader.flags(at: node)
        case .guestMemfd: guestMemfd = reader.string(at: node)
        case .guestMemfdOffset: guestMemfdOffset = ByteCount(reader.quantity(at: node))
        }
    }
}
