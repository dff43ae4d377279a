public import Memslots

/// A slot as a request gives it: every member by itself, judged with the array.
public struct SlotParameters: Sendable, Hashable {
    /// The id; `nil` lets the service pick one. Any number.
    public var slot: UInt64?
    /// The address space, 0 if left out. Any number.
    public var addressSpace: UInt64 = 0
    /// Where the guest sees it.
    public var guestPhysicalAddress = GuestPhysicalAddress(0)
    /// Bytes.
    public var size = ByteCount(0)
    /// The backing in the service's own address space.
    public var userspaceAddress: UserspaceAddress?
    /// The name of the memory object that is the backing.
    public var memory: String?
    /// Where in the memory object the backing begins.
    public var memoryOffset: ByteCount?
    /// What an answer gave for a backing without a name.
    public var opaque: String?
    /// The flags; none if left out.
    public var flags: MemslotFlags = []
    /// The name of the memory object that private memory comes from.
    public var guestMemfd: String?
    /// Where in it private memory begins.
    public var guestMemfdOffset: ByteCount?

    /// A slot of nothing at 0.
    public init() {}
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
