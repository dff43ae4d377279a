// The names are those of memslots.h, and so is the documentation.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

public import CMemslots
import Memslots

@c @implementation
public func memslots_abi_1() -> UInt32 { UInt32(MEMSLOTS_ABI) }

@c @implementation
public func memslots_error_message() -> UnsafePointer<CChar>? { LastProblem.ofThisThread.message }

@c @implementation
public func memslots_error_errno() -> Int32 {
    LastProblem.ofThisThread.problem?.errno?.rawValue ?? 0
}

@c @implementation
public func memslots_error_violations(
    _ list: UnsafeMutablePointer<memslots_violation>?, _ capacity: Int,
    _ count: UnsafeMutablePointer<Int>?
) -> Int32 {
    // Not `answer`: to ask with too little room must not make the violations go.
    do throws(Problem) {
        return try fill(
            list, capacity, count, from: LastProblem.ofThisThread.violations,
            memslots_violation.init)
    } catch {
        return error.code
    }
}

extension memslots_violation {
    fileprivate init(_ violation: Violation) {
        self.init()
        index = violation.index.map(Int64.init) ?? -1
        other_index = violation.otherIndex.map(Int64.init) ?? -1
        slot = violation.slot?.rawValue ?? UInt32.max
        address_space = violation.addressSpace.rawValue
        kernel_errno = violation.errno?.rawValue ?? 0
        copy(violation.kind.rawValue, into: &kind)
        copy(violation.path, into: &path)
        copy(violation.message, into: &message)
    }
}

@c @implementation
public func memslots_code_name(_ code: Int32) -> UnsafePointer<CChar>? {
    let name: StaticString =
        switch Int(code) {
        case MEMSLOTS_OK: "ok"
        case MEMSLOTS_INTERRUPTED: "interrupted"
        case MEMSLOTS_NOT_READY: "not-ready"
        case MEMSLOTS_INVALID_ARRAY: "invalid-array"
        case MEMSLOTS_CONFLICT: "generation-conflict"
        case MEMSLOTS_REJECTED: "prepare-rejected"
        case MEMSLOTS_QUIESCE_TIMEOUT: "quiesce-timeout"
        case MEMSLOTS_ROLLED_BACK: "rolled-back"
        case MEMSLOTS_FAILED: "vm-failed"
        case MEMSLOTS_REENTRANT: "reentrant"
        case MEMSLOTS_BAD_HANDLE: "bad-handle"
        case MEMSLOTS_BAD_ARGUMENT: "bad-argument"
        case MEMSLOTS_NO_SUCH_SLOT: "no-such-slot"
        case MEMSLOTS_NOT_MAPPED: "not-mapped"
        case MEMSLOTS_TOO_SMALL: "too-small"
        case MEMSLOTS_SYSTEM: "system"
        case MEMSLOTS_NOT_SUPPORTED: "not-supported"
        case MEMSLOTS_NOT_INSIDE: "not-inside"
        case MEMSLOTS_TOO_MANY_HANDLES: "too-many-handles"
        case MEMSLOTS_READ_ONLY: "read-only"
        default: "unknown"
        }
    return UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self)
}
