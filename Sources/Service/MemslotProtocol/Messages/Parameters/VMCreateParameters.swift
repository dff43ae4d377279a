public import Memslots

/// The parameters of `vm.create`.
public struct VMCreateParameters: Sendable {
    /// The new VM's name, within the rules for names.
    public var vm = ""
    /// What carries the VM.
    public var backend = BackendChoice.auto
    /// What a simulated VM is to be; not for a KVM VM.
    public var simulated = SimulatedParameters()
    /// Whether the VM ends with the connection.
    public var isEphemeral = false

    package init() {}

    /// Reads the parameters of a request.
    ///
    /// - Throws: the first fault, `invalid-params` with its path.
    public init(_ params: JSONValue?) throws(ProtocolError) {
        self = try ParameterReader.read(params, as: Self.self)
    }
}

/// What carries a VM.
public enum BackendChoice: String, CaseIterable, Sendable {
    /// The simulator.
    case simulated
    /// `/dev/kvm`.
    case kvm
    /// KVM where it opens, else the simulator.
    case auto
}

/// What a simulated VM is to be.
public struct SimulatedParameters: Sendable, Hashable {
    /// Slots an address space, 1 … 2^20: a real KVM's ids have 16 bits.
    public var maxSlots: UInt32 = 32_764
    /// Address spaces, 1 … 65,536.
    public var addressSpaces: UInt32 = 1
    /// Bits of a guest physical address, 13 … 64.
    public var guestPhysicalBits: UInt32 = 52
    /// The first address past user space.
    public var userspaceEnd = UserspaceAddress(0x7fff_ffff_f000)
    /// The flags that it takes.
    public var flags: MemslotFlags = [.logDirtyPages, .readOnly]

    /// The defaults.
    public init() {}
}

extension VMCreateParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable { case vm, backend, simulated, ephemeral }

    package static let table = MemberTable<Member> { $0 == .vm }

    package mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        switch member {
        case .vm: vm = reader.newName(at: node)
        case .backend: backend = reader.choice(at: node, default: .auto)
        case .simulated: reader.object(at: node, into: &simulated)
        case .ephemeral: isEphemeral = reader.bool(at: node)
        }
    }
}

extension SimulatedParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable {
        case maxSlots, addressSpaces, guestPhysicalBits, userspaceEnd, flags
    }

    package static let table = MemberTable<Member> { _ in false }

    package mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        switch member {
        case .maxSlots: maxSlots = UInt32(reader.integer(at: node, in: 1...1 << 20))
        case .addressSpaces: addressSpaces = UInt32(reader.integer(at: node, in: 1...65_536))
        case .guestPhysicalBits: guestPhysicalBits = UInt32(reader.integer(at: node, in: 13...64))
        case .userspaceEnd: userspaceEnd = UserspaceAddress(reader.quantity(at: node))
        case .flags: flags = reader.flags(at: node)
        }
    }
}
