import Glibc
import Memslots

/// The signals that end the daemon.
enum Signals {
    /// Keeps them from every thread that is started from now on. Call it first.
    static func block() {
        signal(SIGPIPE, SIG_IGN)
        // A file that may not grow is an error to refuse with, not an end.
        signal(SIGXFSZ, SIG_IGN)
        var set = ending
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Calls `end` at the first `SIGTERM` or `SIGINT`, on a thread of its own; the second ends
    /// the process at once.
    static func onEnd(_ end: @escaping @Sendable () -> Void) {
        do throws(Errno) {
            try OwnThread {
                _ = Signals.wait()
                end()
                // Nothing more is waited for, the log's last lines neither.
                _exit(128 + Signals.wait())
            }.detach()
        } catch {
            preconditionFailure("the process can't have a thread for its signals: \(error)")
        }
    }

    private static var ending: sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGTERM)
        sigaddset(&set, SIGINT)
        return set
    }

    private static func wait() -> Int32 {
        var set = ending
        var number: Int32 = 0
        while sigwait(&set, &number) != 0 {}
        return number
    }
}
