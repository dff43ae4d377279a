public import Memslots

/// The parameters of `fault.inject`.
public struct FaultParameters: Sendable {
    /// The VM's name.
    public var vm: String
    /// What to do.
    public var fault: FaultRequest

    private var operation: UInt64?
    private var errno: Errno?
    private var times: UInt64?
    private var clears = false

    /// A fault of the VM named `vm`, or the end of all of them.
    public init(vm: String, _ fault: FaultRequest) { (self.vm, self.fault) = (vm, fault) }
}

/// What `fault.inject` does.
public enum FaultRequest: Hashable, Sendable {
    /// Disarms every fault.
    case clear
    /// Makes the slot call `operation` fail with `errno` in the next `times` transactions that
    /// reach it.
    case arm(operation: UInt64, errno: Errno, times: UInt64)
}

/// The parameters of `guest.touch`.
public struct TouchParameters: Sendable {
    /// The VM's name.
    public var vm: String
    /// The first byte that the guest writes.
    public var guestPhysicalAddress: GuestPhysicalAddress
    /// How many bytes it writes.
    public var size: ByteCount
    /// The address space, 0 if omitted. Any number.
    public var addressSpace: UInt64 = 0

    /// A write of `size` bytes to the memory of the VM named `vm`.
    public init(vm: String, _ guestPhysicalAddress: GuestPhysicalAddress, size: ByteCount) {
        (self.vm, self.guestPhysicalAddress, self.size) = (vm, guestPhysicalAddress, size)
    }
}

extension FaultParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable { case vm, operation, errno, times, clear }
    package static let table = MemberTable<Member> { $0 == .vm }
    package init() { self.init(vm: "", .clear) }

    package mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        switch member {
        case .vm: vm = reader.string(at: node)
        case .operation: operation = reader.integer(at: node)
        case .errno: errno = reader.errno(at: node)
        case .times: times = reader.integer(at: node)
        case .clear: clears = reader.bool(at: node)
        }
    }

    package mutating func finish(at node: Int, reader: inout ParameterReader) {
        if clears {
            if operation != nil || errno != nil || times != nil {
                reader.fail(at: node, member: "clear", "a fault can't be armed and cleared at once")
            }
            return
        }
        guard let operation else { return reader.fail(at: node, member: "operation", "missing") }
        guard let errno else { return reader.fail(at: node, member: "errno", "missing") }
        fault = .arm(operation: operation, errno: errno, times: times ?? 1)
    }
}

extension TouchParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable {
        case vm, guestPhysicalAddress, size, addressSpace
    }

    package static let table = MemberTable<Member> { $0 != .addressSpace }
    package init() { self.init(vm: "", GuestPhysicalAddress(0), size: .zero) }

    package mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        switch member {
        case .vm: vm = reader.string(at: node)
        case .guestPhysicalAddress:
            guestPhysicalAddress = GuestPhysicalAddress(reader.quantity(at: node))
        case .size: size = ByteCount(reader.quantity(at: node))
        case .addressSpace: addressSpace = reader.integer(at: node)
        }
    }
}
