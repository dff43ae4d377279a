public import Memslots

/// The parameters of `vm.create`.
public struct VMCreateParameters: Sendable {
    /// The new VM's name: 1 to 128 bytes without control characters and `/`.
    public var vm: String
    /// The backend of the VM.
    public var backend: BackendChoice
    /// The configuration of a simulated VM; ignored for a KVM VM.
    public var simulated = SimulatedParameters()
    /// A Boolean value that indicates whether the VM ends with the connection.
    public var isEphemeral = false

    /// A VM named `vm`.
    public init(vm: String, backend: BackendChoice = .auto) {
        (self.vm, self.backend) = (vm, backend)
    }
}

/// Which backend a VM gets.
public enum BackendChoice: String, CaseIterable, Sendable {
    /// The simulator.
    case simulated
    /// `/dev/kvm`.
    case kvm
    /// KVM where it opens, else the simulator.
    case auto
}

/// The configuration of a simulated VM.
public struct SimulatedParameters: Sendable, Hashable {
    /// Slots per address space, 1 … 2^20: a real KVM's ids have 16 bits.
    public var maxSlots: UInt32 = 32_764
    /// Address spaces, 1 … 65,536.
    public var addressSpaces: UInt32 = 1
    /// Bits of a guest physical address, 13 … 64.
    public var guestPhysicalBits: UInt32 = 52
    /// The first address past user space.
    public var userspaceEnd = UserspaceAddress(0x7fff_ffff_f000)
    /// The flags that it supports.
    public var flags: MemslotFlags = [.logDirtyPages, .readOnly]
    /// The kind of host; `nil` for x86-64, with any page size and address bits.
    public private(set) var profile: HostProfile?
    /// The bytes of a page.
    public var pageSize = ByteCount.page
    /// The kernel whose rules it follows.
    public private(set) var kernel = KernelVersion.default
    /// The members that a request gives; none outside of its decoding.
    private var given: Set<Member> = []

    /// The defaults.
    public init() {}

    /// The limits of a host.
    public init(profile: HostProfile?, kernel: KernelVersion? = nil) {
        (self.profile, self.kernel) = (profile, kernel ?? .default)
        guard let profile else { return }
        maxSlots = profile.maxSlots(self.kernel)
        (guestPhysicalBits, userspaceEnd) = (profile.guestPhysicalBits, profile.userspaceEnd)
        flags.formIntersection(profile.flags(self.kernel))
        pageSize = profile.pageSize
    }
}

extension VMCreateParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable { case vm, backend, simulated, ephemeral }
    package static let table = MemberTable<Member> { $0 == .vm }
    package init() { self.init(vm: "") }

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
        case profile, pageSize, kernel
    }

    package static let table = MemberTable<Member> { _ in false }

    package mutating func finish(at node: Int, reader: inout ParameterReader) {
        // Members come in any order; those given beside a profile replace the profile's.
        var host = SimulatedParameters(profile: profile, kernel: kernel)
        if given.contains(.maxSlots) { host.maxSlots = maxSlots }
        if given.contains(.addressSpaces) { host.addressSpaces = addressSpaces }
        if given.contains(.guestPhysicalBits) { host.guestPhysicalBits = guestPhysicalBits }
        if given.contains(.userspaceEnd) { host.userspaceEnd = userspaceEnd }
        if given.contains(.flags) { host.flags = flags }
        if given.contains(.pageSize) { host.pageSize = pageSize }
        self = host
    }

    package mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        given.insert(member)
        switch member {
        case .profile: profile = reader.choice(at: node, default: HostProfile.x86)
        case .pageSize: pageSize = ByteCount(reader.quantity(at: node))
        case .kernel:
            let text = reader.string(at: node)
            if let version = KernelVersion(text) {
                kernel = version
            } else {
                reader.fail(at: node, "expected a version of Linux, such as \"6.18\"")
            }
        case .maxSlots: maxSlots = UInt32(reader.integer(at: node, in: 1...1 << 20))
        case .addressSpaces: addressSpaces = UInt32(reader.integer(at: node, in: 1...65_536))
        case .guestPhysicalBits: guestPhysicalBits = UInt32(reader.integer(at: node, in: 13...64))
        case .userspaceEnd: userspaceEnd = UserspaceAddress(reader.quantity(at: node))
        case .flags: flags = reader.flags(at: node)
        }
    }
}

// MARK: - Methods with names alone

/// The parameters of the methods that have no more than names, and those that have none.
package struct NameParameters: ParameterObject {
    /// The VM's name; `nil` for all VMs.
    package private(set) var anyVM: String?
    /// The name of the memory object or the observer.
    private(set) var name = ""
    /// The generation of `memslots.get`; `nil` for the present array.
    private(set) var generation: Generation?
    /// For `run.setAtomic`: whether changes are committed as transactions from now on.
    private(set) var isAtomic = true

    package enum Member: String, CaseIterable, Sendable {
        case vm, memory, observer, generation, atomic
    }

    /// Nothing.
    package static let table = MemberTable<Member>([]) { _ in false }
    static let vm = MemberTable<Member>([.vm]) { _ in true }
    package static let anyVM = MemberTable<Member>([.vm]) { _ in false }
    static let memory = MemberTable<Member>([.vm, .memory]) { _ in true }
    static let observer = MemberTable<Member>([.vm, .observer]) { _ in true }
    static let array = MemberTable<Member>([.vm, .generation]) { $0 == .vm }
    static let atomic = MemberTable<Member>([.atomic]) { _ in true }
    package init() {}

    /// The VM's name, where it is required.
    var vm: String { anyVM ?? "" }

    package mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        switch member {
        case .vm: anyVM = reader.string(at: node)
        case .memory, .observer: name = reader.string(at: node)
        case .generation: generation = Generation(reader.integer(at: node))
        case .atomic: isAtomic = reader.bool(at: node)
        }
    }
}
