// The names are those of memslots.h, and so is the documentation.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

public import CMemslots
import Glibc
import MemslotKVM
import MemslotSimulator
import MemslotVhostUser
import Memslots

/// The reason for which a function returns an error.
enum Problem: Error {
    case submit(SubmitError)
    case reentrant(ReentryError)
    case dirtyLog(DirtyLogError)
    case kvm(KVMError)
    case system(call: StaticString, Errno)
    case touch(TouchError)
    case backEnd(VhostUserError)
    case badHandle(HandleKind)
    case badArgument(StaticString)
    case notMapped(GuestPhysicalAddress)
    case tooSmall(capacity: Int, count: Int)
    case notSupported(StaticString)
    case notInside, alreadyInside, tooManyHandles

    var code: Int32 {
        switch self {
        case .submit(.invalid): Int32(MEMSLOTS_INVALID_ARRAY)
        case .submit(.conflict): Int32(MEMSLOTS_CONFLICT)
        case .submit(.rejected): Int32(MEMSLOTS_REJECTED)
        case .submit(.quiesceTimeout): Int32(MEMSLOTS_QUIESCE_TIMEOUT)
        case .submit(.rolledBack): Int32(MEMSLOTS_ROLLED_BACK)
        case .submit(.failed), .dirtyLog(.failed): Int32(MEMSLOTS_FAILED)
        case .reentrant, .submit(.reentrant), .dirtyLog(.reentrant), .backEnd(.reentrant):
            Int32(MEMSLOTS_REENTRANT)
        case .dirtyLog(.slotWithoutID), .dirtyLog(.unknownSlot), .dirtyLog(.notLogging):
            Int32(MEMSLOTS_NO_SUCH_SLOT)
        case .kvm(.installedSlotDiffers), .kvm(.installedSlotUnlisted), .kvm(.dirtyLogDiffers),
            .kvm(.noVCPU):
            Int32(MEMSLOTS_BAD_ARGUMENT)
        case .kvm(.unsupportedOption), .kvm(.kernelTooOld), .kvm(.unsupportedVersion):
            Int32(MEMSLOTS_NOT_SUPPORTED)
        case .kvm, .system, .dirtyLog(.backend): Int32(MEMSLOTS_SYSTEM)
        case .touch(.unmapped), .notMapped: Int32(MEMSLOTS_NOT_MAPPED)
        case .touch(.readOnly): Int32(MEMSLOTS_READ_ONLY)
        case .backEnd: Int32(MEMSLOTS_BACK_END)
        case .badHandle: Int32(MEMSLOTS_BAD_HANDLE)
        case .badArgument, .dirtyLog(.pagesOutOfRange): Int32(MEMSLOTS_BAD_ARGUMENT)
        case .tooSmall: Int32(MEMSLOTS_TOO_SMALL)
        case .notSupported: Int32(MEMSLOTS_NOT_SUPPORTED)
        case .notInside, .alreadyInside: Int32(MEMSLOTS_NOT_INSIDE)
        case .tooManyHandles: Int32(MEMSLOTS_TOO_MANY_HANDLES)
        }
    }

    /// The kernel's errno that caused it.
    var errno: Errno? {
        switch self {
        case .submit(.rolledBack(let rollback)): rollback.errno
        case .submit(.failed(let failure)): failure.errno
        case .submit(.invalid(let array)): array.violations.first?.errno
        case .dirtyLog(.backend(let errno)): errno
        case .dirtyLog(.failed(let failure)): failure.errno
        case .kvm(let error): error.errno
        case .system(_, let errno), .backEnd(.systemCall(_, let errno)): errno
        default: nil
        }
    }

    /// A sentence that describes the problem and names what to do.
    var message: String {
        switch self {
        case .submit(let error): error.message
        case .reentrant(let error): error.message
        case .dirtyLog(let error): error.message
        case .kvm(let error): error.description
        case .system(let call, let errno): "\(call) failed with \(errno)"
        case .touch(.unmapped(let address)), .notMapped(let address):
            "no slot maps guest physical address \(address)"
        case .touch(.readOnly(let address, let slot)):
            "guest physical address \(address) is in slot \(slot), which is read-only"
        case .backEnd(let error): error.message
        case .badHandle(let kind):
            "the handle names no \(kind) of this process: it is closed, zero, or of another kind"
        case .tooSmall(let capacity, let count):
            "the list has \(count) entries, the capacity is \(capacity); pass a larger list"
        case .badArgument(let what), .notSupported(let what): "\(what)"
        case .notInside: "the view is not entered: its reader has left it, or never entered"
        case .alreadyInside:
            "the reader is inside: leave its view first, or register a reader for each view"
        case .tooManyHandles: "all 1,048,575 handles are in use; close some"
        }
    }
}

/// The last problem of a thread.
// An unmapped address is an ordinary result: the message is built when the caller asks for it.
final class LastProblem {
    private static let key = threadLocalKey { object in
        if let object { Unmanaged<LastProblem>.fromOpaque(object).release() }
    }

    private(set) var problem: Problem?
    private var text: UnsafeMutablePointer<CChar>?

    deinit { free(text) }

    static var ofThisThread: LastProblem {
        if let object = pthread_getspecific(key) {
            return Unmanaged<LastProblem>.fromOpaque(object).takeUnretainedValue()
        }
        let first = LastProblem()
        pthread_setspecific(key, Unmanaged.passRetained(first).toOpaque())
        return first
    }

    func record(_ problem: Problem) {
        self.problem = problem
        free(text)
        text = nil
    }

    /// The sentence, valid until the next ``record(_:)``.
    var message: UnsafePointer<CChar>? {
        if text == nil { text = strdup(problem?.message ?? "") }
        return UnsafePointer(text)
    }

    var violations: [Violation] {
        guard case .submit(.invalid(let array)) = problem else { return [] }
        return array.violations
    }
}

/// Returns the code of a function with this body. What it throws is the thread's last problem.
func returnCode(_ body: () throws(Problem) -> Void) -> Int32 {
    do throws(Problem) { try body() } catch {
        LastProblem.ofThisThread.record(error)
        return error.code
    }
    return Int32(MEMSLOTS_OK)
}

/// As ``returnCode(_:)``, with the object that `handle` names.
func returnCode<Object: AnyObject>(
    _ handle: UInt64, _ kind: HandleKind, as type: Object.Type,
    _ body: (Object) throws(Problem) -> Void
) -> Int32 {
    returnCode { () throws(Problem) in try HandleTable.shared.with(handle, kind, as: type, body) }
}

/// As ``returnCode(_:)``, with the table that `handle` names.
func returnCode(_ handle: memslots_table, _ body: (OpenTable) throws(Problem) -> Void) -> Int32 {
    returnCode(handle.value, .table, as: OpenTable.self, body)
}

@c @implementation public func memslots_abi_1() -> UInt32 { UInt32(MEMSLOTS_ABI) }

@c @implementation
public func memslots_error_message() -> UnsafePointer<CChar>? { LastProblem.ofThisThread.message }

@c @implementation public func memslots_error_errno() -> Int32 {
    LastProblem.ofThisThread.problem?.errno?.rawValue ?? 0
}

@c @implementation public func memslots_error_violations(
    _ list: UnsafeMutablePointer<memslots_violation>?, _ capacity: Int,
    _ count: UnsafeMutablePointer<Int>?
) -> Int32 {
    // Not `returnCode`: a list that is too small must not replace the violations by its own problem.
    do throws(Problem) {
        try fill(
            list, capacity, count, from: LastProblem.ofThisThread.violations,
            memslots_violation.init)
    } catch { return error.code }
    return Int32(MEMSLOTS_OK)
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
        // The wire's names of members, such as userspaceAddress, as those of memslots.h.
        let names = violation.path.flatMap { $0.isUppercase ? "_" + $0.lowercased() : String($0) }
        copy(String(names), into: &path)
        copy(violation.message, into: &message)
    }
}

@c @implementation public func memslots_code_name(_ code: Int32) -> UnsafePointer<CChar>? {
    let index = MEMSLOTS_NOT_READY - Int(code)
    let name = codeNames.indices.contains(index) ? codeNames[index] : "unknown"
    return UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self)
}

/// The names of the codes, from `MEMSLOTS_NOT_READY` down to `MEMSLOTS_BACK_END`, without a gap.
private let codeNames: [StaticString] = [
    "not-ready", "interrupted", "ok", "invalid-array", "generation-conflict", "prepare-rejected",
    "quiesce-timeout", "rolled-back", "vm-failed", "reentrant", "bad-handle", "bad-argument",
    "no-such-slot", "not-mapped", "too-small", "system", "not-supported", "not-inside",
    "too-many-handles", "read-only", "back-end",
]
