// The names are those of memslots.h, and so is the documentation.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

public import CMemslots
import Glibc
import Memslots

/// The last problem of a thread.
///
/// The message is built when the caller asks for it, because some problems are frequent: an
/// unmapped address is an ordinary result.
final class LastProblem {
    private static let key: pthread_key_t = {
        var key = pthread_key_t()
        let status = pthread_key_create(&key) { object in
            guard let object else { return }
            Unmanaged<LastProblem>.fromOpaque(object).release()
        }
        precondition(status == 0, "the process has no thread-local key left")
        return key
    }()

    private(set) var problem: Problem?
    private var text: UnsafeMutablePointer<CChar>?

    deinit { free(text) }

    /// The last problem of the calling thread.
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

    /// The violations, if the problem is an invalid array.
    var violations: [Violation] {
        guard case .submit(.invalid(let array)) = problem else { return [] }
        return array.violations
    }
}

/// Runs the body of a function, and returns the function's code. A problem that `body` throws
/// becomes the thread's last one.
func returnCode(_ body: () throws(Problem) -> Void) -> Int32 {
    do throws(Problem) { try body() } catch {
        LastProblem.ofThisThread.record(error)
        return error.code
    }
    return Int32(MEMSLOTS_OK)
}

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
    // Not `returnCode`: a list that is too small must not replace the violations by its own problem.
    do throws(Problem) {
        try fill(
            list, capacity, count, from: LastProblem.ofThisThread.violations,
            memslots_violation.init)
    } catch {
        return error.code
    }
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
