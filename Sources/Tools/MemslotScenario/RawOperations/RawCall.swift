package import Memslots

/// A call that a kernel and its twin both answer: of a slot, or of a slot's dirty log.
package enum RawCall: Sendable, Hashable {
    /// `KVM_SET_USER_MEMORY_REGION`, or `…REGION2`.
    case setRegion(RawRegion)
    /// `KVM_GET_DIRTY_LOG`; into memory that can't be written if not `isWritable`.
    case getDirtyLog(slot: UInt32, isWritable: Bool)
    /// `KVM_CLEAR_DIRTY_LOG`; `nil` words stand for memory that can't be read.
    case clearDirtyLog(slot: UInt32, firstPage: UInt64, pageCount: UInt32, words: [UInt64]?)
    /// `KVM_ENABLE_CAP` of `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2` with this argument.
    case setManualDirtyLogProtect(UInt64)
    /// A guest writes a byte at this guest physical address, below 4 GiB.
    case guestWrite(UInt64)
}

/// What a ``RawCall`` answers.
package struct RawReply: Sendable, Hashable {
    /// Whether the call failed, and how.
    package var answer: RawAnswer
    /// The dirty pages that were read; `nil` where none were asked for, or the call failed.
    package var dirtyPages: [Range<UInt64>]?
    /// How a guest came out after its write; `nil` where none ran.
    package var exit: String?

    /// The exit of a guest whose write hit memory.
    package static let written = "written"
    /// The exit of a guest that wrote where no memory is, or to read-only memory.
    package static let mmio = "mmio"

    /// A reply.
    package init(_ answer: RawAnswer, dirtyPages: [Range<UInt64>]? = nil, exit: String? = nil) {
        self.answer = answer
        self.dirtyPages = dirtyPages
        self.exit = exit
    }

    /// The reply of a call that gave `errno`, or none.
    package init(_ errno: Errno?) { self.init(RawAnswer(errno)) }
}

extension RawReply: CustomStringConvertible {
    /// The errno's name or `success`, and what was read.
    package var description: String {
        var text = answer.errno?.name ?? "success"
        if let dirtyPages {
            let runs = dirtyPages.map { "\($0.lowerBound)…\($0.upperBound - 1)" }
            text += runs.isEmpty ? ", no dirty pages" : ", dirty \(runs.joined(separator: " "))"
        }
        if let exit { text += ", guest: \(exit)" }
        return text
    }
}
