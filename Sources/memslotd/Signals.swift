import Glibc

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
        // Handed to the thread, which takes over this reference.
        let argument = Unmanaged.passRetained(Ending(end))
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                let ending = Unmanaged<Ending>.fromOpaque(argument).takeRetainedValue()
                _ = Signals.wait()
                ending.end()
                // Nothing more is waited for, the log's last lines neither.
                _exit(128 + Signals.wait())
            }, argument.toOpaque())
        precondition(status == 0, "the process can't have a thread for its signals")
        pthread_detach(thread)
    }

    private final class Ending: Sendable {
        let end: @Sendable () -> Void

        init(_ end: @escaping @Sendable () -> Void) { self.end = end }
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
