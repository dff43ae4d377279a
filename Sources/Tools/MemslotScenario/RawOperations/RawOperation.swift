internal import MemslotProtocol
package import Memslots

struct RawOperationLine: ParameterObject {
    private var region = RawRegion(
        slot: 0, flags: 0, guestPhysicalAddress: 0, memorySize: 0, userspaceAddress: 0)
    private var expected: RawReply?
    private var others: [Errno] = []
    private var hasOffset = false

    var line: RawCallLine { RawCallLine(.setRegion(region), expected: expected, others: others) }

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
        case .slot: region.slot = reader.word(at: node)
        case .flags: region.flags = reader.word(at: node)
        case .guestPhysicalAddress: region.guestPhysicalAddress = reader.quantity(at: node)
        case .memorySize: region.memorySize = reader.quantity(at: node)
        case .userspaceAddress: region.userspaceAddress = reader.quantity(at: node)
        case .guestMemfd: region.guestMemfd = file(at: node, from: &reader)
        case .guestMemfdOffset:
            hasOffset = true
            region.guestMemfdOffset = reader.quantity(at: node)
        case .errno where reader.isArray(at: node):
            reader.array(at: node) { element, reader in
                if let errno = reader.errno(at: element) { others.append(errno) }
            }
            if others.isEmpty { return reader.fail(at: node, "expected an errno") }
            expected = RawReply(others.removeFirst())
        case .errno: expected = RawReply(reader.isNull(at: node) ? nil : reader.errno(at: node))
        }
    }

    mutating func finish(at node: Int, reader: inout ParameterReader) {
        if hasOffset, region.guestMemfd == nil {
            reader.fail(at: node, member: "guest_memfd", "missing, but its offset is given")
        }
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
        let named = [Self.kvm, .vm, .memfd, .otherVM, .none]
        if let kind = named.first(where: { $0.wireName == wireName }) {
            self = kind
            return
        }
        let digits = wireName.dropFirst(5)
        guard wireName.hasPrefix("gmem:"), digits.utf8.allSatisfy({ $0 &- 0x30 < 10 }),
            let index = UInt32(digits)
        else { return nil }
        self = .file(index: index)
    }

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
