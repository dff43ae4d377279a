import CMemslots
import Glibc
import Memslots

/// What went wrong last on each thread.
///
/// Kept as it came, and put into words when asked for: an address that is not mapped is no rare
/// answer.
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

    /// The calling thread's; made where there is none.
    static var ofThisThread: LastProblem {
        if let object = pthread_getspecific(key) {
            return Unmanaged<LastProblem>.fromOpaque(object).takeUnretainedValue()
        }
        let made = LastProblem()
        pthread_setspecific(key, Unmanaged.passRetained(made).toOpaque())
        return made
    }

    func note(_ problem: Problem) {
        self.problem = problem
        free(text)
        text = nil
    }

    /// The sentence, valid until the next ``note(_:)``.
    var message: UnsafePointer<CChar>? {
        if text == nil { text = strdup(problem?.message ?? "") }
        return UnsafePointer(text)
    }

    /// The faults of an array that breaks rules.
    var violations: [Violation] {
        guard case .submit(.invalid(let array)) = problem else { return [] }
        return array.violations
    }
}

/// Runs a function's body, and turns what it throws into its code.
func answer(_ body: () throws(Problem) -> Int32) -> Int32 {
    do throws(Problem) { return try body() } catch {
        LastProblem.ofThisThread.note(error)
        return error.code
    }
}

/// The code of success.
var ok: Int32 { Int32(MEMSLOTS_OK) }
