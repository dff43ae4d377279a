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
