internal import MemslotProtocol
package import Memslots

/// A line of raw operations: the arguments of a slot call and, optionally, the kernel's reply.
package struct RawOperation: Sendable, Hashable {
    /// The arguments.
    package var region: RawRegion
    /// The expected reply; `nil` if the line names none.
    package var expected: RawAnswer?

    /// Creates a line.
    package init(_ region: RawRegion, expected: RawAnswer? = nil) {
        self.region = region
        self.expected = expected
    }

    /// Reads one line.
    ///
    /// - Parameters:
    ///   - line: the line without its end.
    ///   - number: its number, for the error.
    /// - Throws: the fault of the line, with line and column.
    package init(line: [UInt8], number: Int) throws(UnusableInput) {
        try self.init(value: try JSONValue(line: line, number: number), number: number)
    }

    /// Decodes a parsed line.
    init(value: JSONValue, number: Int) throws(UnusableInput) {
        let read = try ParameterReader.read(value, line: number, as: RawOperationLine.self)
        self = read.operation
    }
}

/// The kernel's reply to a slot call.
package enum RawAnswer: Sendable, Hashable {
    /// The call succeeded.
    case success
    /// The call failed.
    case failure(Errno)

    /// The reply with `errno`, or success.
    package init(_ errno: Errno?) { self = errno.map(RawAnswer.failure) ?? .success }

    /// The errno; `nil` for success.
    package var errno: Errno? {
        guard case .failure(let errno) = self else { return nil }
        return errno
    }
}

/// The members of a line of raw operations.
private struct RawOperationLine: ParameterObject {
    var operation = RawOperation(
        RawRegion(
            slot: 0, flags: 0, guestPhysicalAddress: 0, memorySize: 0, userspaceAddress: 0))
    private var hasOffset = false

    enum Member: String, CaseIterable, Sendable {
        case slot, flags
        case guestPhysicalAddress = "guest_phys_addr"
        case memorySize = "memory_size"
        case userspaceAddress = "userspace_addr"
        case guestMemfd = "guest_memfd"
        case guestMemfdOffset = "guest_memfd_offset"
        case errno
    }

    static let table = MemberTable<Member> {
        $0 != .guestMemfd && $0 != .guestMemfdOffset && $0 != .errno
    }

    mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        switch member {
        case .slot: operation.region.slot = word(at: node, from: &reader)
        case .flags: operation.region.flags = word(at: node, from: &reader)
        case .guestPhysicalAddress:
            operation.region.guestPhysicalAddress = reader.quantity(at: node)
        case .memorySize: operation.region.memorySize = reader.quantity(at: node)
        case .userspaceAddress: operation.region.userspaceAddress = reader.quantity(at: node)
        case .guestMemfd: operation.region.guestMemfd = file(at: node, from: &reader)
        case .guestMemfdOffset:
            hasOffset = true
            operation.region.guestMemfdOffset = reader.quantity(at: node)
        case .errno:
            operation.expected =
                reader.isNull(at: node) ? .success : RawAnswer(reader.errno(at: node))
        }
    }

    mutating func finish(at node: Int, reader: inout ParameterReader) {
        if hasOffset, operation.region.guestMemfd == nil {
            reader.fail(at: node, member: "guest_memfd", "missing, but its offset is given")
        }
    }

    /// A word of 32 bits.
    private func word(at node: Int, from reader: inout ParameterReader) -> UInt32 {
        let value = reader.quantity(at: node)
        guard let word = UInt32(exactly: value) else {
            reader.fail(at: node, "expected an integer below 2^32")
            return 0
        }
        return word
    }

    private func file(at node: Int, from reader: inout ParameterReader) -> RawGuestMemfd? {
        let text = reader.string(at: node)
        if let file = RawGuestMemfd(wireName: text) { return file }
        reader.fail(
            at: node,
            "expected \"gmem:N\", \"kvm\", \"vm\", \"memfd\", \"other-vm\" or \"none\", found "
                + "\"\(shortened(text))\"")
        return nil
    }
}

extension RawGuestMemfd {
    /// The kind with this name on the wire; `nil` if there is none.
    package init?(wireName: String) {
        switch wireName {
        case "kvm": self = .kvm
        case "vm": self = .vm
        case "memfd": self = .memfd
        case "other-vm": self = .otherVM
        case "none": self = .none
        default:
            let digits = wireName.dropFirst(5)
            guard wireName.hasPrefix("gmem:"), digits.utf8.allSatisfy({ $0 &- 0x30 < 10 }),
                let index = UInt32(digits)
            else { return nil }
            self = .file(index: index)
        }
    }

    /// The name of this kind on the wire.
    package var wireName: String {
        switch self {
        case .file(let index): "gmem:\(index)"
        case .kvm: "kvm"
        case .vm: "vm"
        case .memfd: "memfd"
        case .otherVM: "other-vm"
        case .none: "none"
        }
    }
}
