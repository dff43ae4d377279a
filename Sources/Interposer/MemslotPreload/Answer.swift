import CPreload
import Memslots

/// What a slot call of the VMM's is answered.
enum Answer {
    /// The wanted array changed.
    case changed
    /// It was as asked already.
    case unchanged
    /// As the kernel would refuse it.
    case refused(Errno)
    /// Only the kernel can tell: it names a file that isn't known here, or guest pages that KVM may
    /// keep for itself.
    case now

    /// The word for the C part.
    var rawValue: Int32 {
        switch self {
        case .changed: CPRELOAD_CHANGED
        case .unchanged: CPRELOAD_UNCHANGED
        case .refused(let errno): -errno.rawValue
        case .now: CPRELOAD_NOW
        }
    }
}

/// What the library says on standard error.
enum Report {
    static func say(_ text: String) { text.withCString { cpreload_say($0) } }

    /// Says it, and ends the process.
    static func stop(_ text: String) -> Never {
        let words = Array(text.utf8CString)
        cpreload_stop(words)
    }
}
