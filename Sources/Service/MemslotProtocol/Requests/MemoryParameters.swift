public import Memslots

/// The parameters of `memory.create`.
public struct MemoryCreateParameters: Sendable {
    /// The VM's name.
    public var vm: String
    /// The new object's name, within the rules for names.
    public var memory: String
    /// The size in bytes; required unless a descriptor is passed.
    public var size: ByteCount?
    /// Where the memory comes from.
    public var source: MemorySource
    /// A Boolean value that indicates whether a guest_memfd is the host's memory too.
    public var isShared = false

    private var backing: MemoryBacking?
    private var descriptor: UInt64?

    /// An object named `memory` of the VM named `vm`.
    public init(vm: String, memory: String, size: ByteCount?, source: MemorySource) {
        (self.vm, self.memory, self.size, self.source) = (vm, memory, size, source)
    }
}

/// Where the memory of a new object comes from.
public enum MemorySource: Hashable, Sendable {
    /// The service makes it.
    case made(MemoryBacking)
    /// The client passed the descriptor of this index with the line.
    case passed(index: Int)
}

/// What a memory object that the service makes consists of.
public enum MemoryBacking: String, CaseIterable, Sendable {
    /// A memfd of ordinary pages.
    case memfd
    /// A memfd of huge pages.
    case hugetlb
    /// A guest_memfd.
    case guestMemfd = "guest-memfd"
}

extension MemoryCreateParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable {
        case vm, memory, size, backing, shared, fd
    }
    package static let table = MemberTable<Member> { $0 == .vm || $0 == .memory }
    package init() { self.init(vm: "", memory: "", size: nil, source: .made(.memfd)) }

    package mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        switch member {
        case .vm: vm = reader.string(at: node)
        case .memory: memory = reader.newName(at: node)
        case .size: size = ByteCount(reader.quantity(at: node))
        case .backing: backing = reader.choice(at: node, default: .memfd)
        case .shared: isShared = reader.bool(at: node)
        case .fd: descriptor = reader.integer(at: node)
        }
    }

    package mutating func finish(at node: Int, reader: inout ParameterReader) {
        if isShared, backing != .guestMemfd {
            reader.fail(at: node, member: "shared", "only a guest-memfd can be shared")
        }
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
