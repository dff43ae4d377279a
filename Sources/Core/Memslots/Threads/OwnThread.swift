internal import Glibc

/// A real thread for one purpose, where a pool's would be kept from others: it waits for long, or
/// is in the guest.
package struct OwnThread: Sendable {
    private final class Job: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    private let thread: pthread_t

    /// Starts the thread; ``join()`` or ``detach()`` it, once.
    ///
    /// - Parameters:
    ///   - stackBytes: the size of its stack; `nil` for the system's default.
    ///   - body: what the thread runs.
    /// - Throws: `EAGAIN` where the process can't have another.
    package init(
        stackBytes: Int? = nil, _ body: @escaping @Sendable () -> Void
    ) throws(Errno) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        if let stackBytes { pthread_attr_setstacksize(&attributes, stackBytes) }
        var thread = pthread_t()
        // The thread adopts this reference.
        let job = Unmanaged.passRetained(Job(body))
        let status = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Job>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            }, job.toOpaque())
        guard status == 0 else {
            job.release()
            throw Errno(rawValue: status)
        }
        self.thread = thread
    }

    /// Waits until it has ended.
    package func join() { pthread_join(thread, nil) }

    /// Lets it end by itself.
    package func detach() { pthread_detach(thread) }
}
