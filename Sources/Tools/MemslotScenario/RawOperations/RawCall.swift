import MemslotProtocol
package import Memslots

/// A call that both a kernel and its simulator can execute: of a slot, or of a slot's dirty log.
package enum RawCall: Sendable, Hashable {
    /// `KVM_SET_USER_MEMORY_REGION`, or `…REGION2`.
    case setRegion(RawRegion)
    /// `KVM_GET_DIRTY_LOG`; if not `isWritable`, into memory that can't be written.
    case getDirtyLog(slot: UInt32, isWritable: Bool)
    /// `KVM_CLEAR_DIRTY_LOG`; `nil` words stand for memory that can't be read.
    case clearDirtyLog(slot: UInt32, firstPage: UInt64, pageCount: UInt32, words: [UInt64]?)
    /// `KVM_ENABLE_CAP` of `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2` with this argument.
    case setManualDirtyLogProtect(UInt64)
    /// A guest writes a byte at this guest physical address, below 4 GiB.
    case guestWrite(UInt64)
}

package struct RawReply: Sendable, Hashable, CustomStringConvertible {
    /// The errno; `nil` for success.
    package var errno: Errno?
    /// The dirty pages that were read; `nil` if the call reads none or failed.
    package var dirtyPages: [Range<UInt64>]?
    /// The exit reason of the guest after its write; `nil` if none ran.
    package var exit: String?

    package static let written = "written"
    /// The exit after a write to an unmapped address or to read-only memory.
    package static let mmio = "mmio"

    package init(_ errno: Errno?, dirtyPages: [Range<UInt64>]? = nil, exit: String? = nil) {
        (self.errno, self.dirtyPages, self.exit) = (errno, dirtyPages, exit)
    }

    package var description: String {
        var text = errno?.name ?? "success"
        if let dirtyPages {
            let runs = dirtyPages.map { "\($0.lowerBound)…\($0.upperBound - 1)" }
            text += runs.isEmpty ? ", no dirty pages" : ", dirty \(runs.joined(separator: " "))"
        }
        if let exit { text += ", guest: \(exit)" }
        return text
    }
}

/// A line of `memslot-lab conform`: a call and, optionally, its reply. Without `call` it is a slot
/// call; the others compare dirty logs, with a `bitmap` of words, or null for unusable memory.
package struct RawCallLine: Sendable, Hashable {
    package var call: RawCall
    package var expected: RawReply?
    /// The errnos that other kernels return instead: `"errno":["EINVAL","EEXIST"]`.
    package var others: [Errno] = []

    package init(_ call: RawCall, expected: RawReply? = nil, others: [Errno] = []) {
        (self.call, self.expected, self.others) = (call, expected, others)
    }

    /// Reads one line, without its end. Throws its fault, with line and column.
    package init(line: [UInt8], number: Int) throws(UnusableInput) {
        let value = try JSONValue(line: line, number: number)
        self =
            value["call"] == nil
            ? try ParameterReader.read(value, line: number, as: RawOperationLine.self).line
            : try ParameterReader.read(value, line: number, as: NamedCallLine.self).line
    }

    package func isMet(by reply: RawReply) -> Bool {
        guard let expected else { return true }
        return (expected.errno == reply.errno || reply.errno.map(others.contains) == true)
            && (expected.dirtyPages == nil || expected.dirtyPages == reply.dirtyPages)
            && (expected.exit == nil || expected.exit == reply.exit)
    }
}

enum RawCallName: String, CaseIterable, Sendable {
    case getDirtyLog = "KVM_GET_DIRTY_LOG"
    case clearDirtyLog = "KVM_CLEAR_DIRTY_LOG"
    case manualProtect = "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2"
    case guestWrite = "guest-write"
}

private struct NamedCallLine: ParameterObject {
    private var name = RawCallName.getDirtyLog
    private var slot: UInt32 = 0
    private var firstPage: UInt64 = 0
    private var pageCount: UInt32 = 0
    private var words: [UInt64]? = []
    private var argument: UInt64 = 0
    private var address: UInt64 = 0
    private var hasReply = false
    private var reply = RawReply(nil)

    enum Member: String, CaseIterable, Sendable {
        case call, slot
        case firstPage = "first_page"
        case pageCount = "num_pages"
        case bitmap, argument
        case address = "guest_phys_addr"
        case errno, dirty, exit
    }

    static let table = MemberTable<Member> { $0 == .call }

    mutating func read(_ member: Member, at node: Int, from reader: inout ParameterReader) {
        switch member {
        case .call: name = reader.choice(at: node, default: .getDirtyLog)
        case .slot: slot = reader.word(at: node)
        case .firstPage: firstPage = reader.quantity(at: node)
        case .pageCount: pageCount = reader.word(at: node)
        case .bitmap: words = reader.isNull(at: node) ? nil : reader.quantities(at: node)
        case .argument: argument = reader.quantity(at: node)
        case .address: address = reader.quantity(at: node)
        case .errno:
            hasReply = true
            reply.errno = reader.isNull(at: node) ? nil : reader.errno(at: node)
        case .dirty: reply.dirtyPages = runs(at: node, from: &reader)
        case .exit: reply.exit = reader.string(at: node)
        }
    }

    var line: RawCallLine {
        let call: RawCall =
            switch name {
            case .getDirtyLog: .getDirtyLog(slot: slot, isWritable: words != nil)
            case .clearDirtyLog:
                .clearDirtyLog(slot: slot, firstPage: firstPage, pageCount: pageCount, words: words)
            case .manualProtect: .setManualDirtyLogProtect(argument)
            case .guestWrite: .guestWrite(address)
            }
        return RawCallLine(call, expected: hasReply ? reply : nil)
    }

    /// `[[firstPage,count],…]`.
    private func runs(at node: Int, from reader: inout ParameterReader) -> [Range<UInt64>] {
        var runs: [Range<UInt64>] = []
        reader.array(at: node) { pair, reader in
            let numbers = reader.quantities(at: pair)
            guard numbers.count == 2, numbers[1] <= UInt64.max - numbers[0] else {
                return reader.fail(at: pair, "expected a first page and a count")
            }
            runs.append(numbers[0]..<numbers[0] + numbers[1])
        }
        return runs
    }
}

extension ParameterReader {
    /// A quantity of 32 bits.
    mutating func word(at node: Int) -> UInt32 {
        guard let word = UInt32(exactly: quantity(at: node)) else {
            fail(at: node, "expected an integer below 2^32")
            return 0
        }
        return word
    }

    fileprivate mutating func quantities(at node: Int) -> [UInt64] {
        var numbers: [UInt64] = []
        array(at: node) { element, reader in numbers.append(reader.quantity(at: element)) }
        return numbers
    }
}
