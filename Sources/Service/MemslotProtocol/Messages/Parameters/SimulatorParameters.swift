public import Memslots

/// The parameters of `fault.inject`.
public struct FaultParameters: Sendable {
    /// The VM's name.
    public var vm = ""
    /// What to do.
    public var fault = FaultRequest.clear

    private var operation: UInt64?
    private var errno: Errno?
    private var times: UInt64?
    private var clears = false

    package init() {}

    /// Reads the parameters of a request.
    ///
    /// - Throws: the first fault, `invalid-params` with its path.
    public init(_ params: JSONValue?) throws(ProtocolError) {
        self = try ParameterReader.read(params, as: Self.self)
    }
}

/// What `fault.inject` asks for.
public enum FaultRequest: Hashable, Sendable {
    /// Disarm everything.
    case clear
    /// Let the slot call `operation` fail with `errno` in the next `times` transactions that
    /// reach it.
    case arm(operation: UInt64, errno: Errno, times: UInt64)
}

extension FaultParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable { case vm, operation, errno, times, clear }

    package static let table = MemberTable<Member> { $0 == .vm }

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
                reader.fail(at: node, member: "clear", "nothing can be armed and cleared at once")
            }
            return
        }
        guard let operation else { return reader.fail(at: node, member: "operation", "missing") }
        guard let errno else { return reader.fail(at: node, member: "errno", "missing") }
        fault = .arm(operation: operation, errno: errno, times: times ?? 1)
    }
}

/// The parameters of `guest.touch`.
public struct TouchParameters: Sendable {
    /// The VM's name.
    public var vm = ""
    /// The first byte that is written.
    public var guestPhysicalAddress = GuestPhysicalAddress(0)
    /// How many bytes are written.
    public var size = ByteCount.zero
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

extension TouchParameters: ParameterObject {
    package enum Member: String, CaseIterable, Sendable {
        case vm, guestPhysicalAddress, size, addressSpace
    }

    package static let table = MemberTable<Member> { $0 != .addressSpace }

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
