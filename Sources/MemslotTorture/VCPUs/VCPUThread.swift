import Glibc
import Memslots

/// A thread for a vCPU: it is inside the guest most of the time, which no pool's thread may be.
struct VCPUThread {
    private final class Job: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    private let thread: pthread_t

    /// Starts the thread. It must be joined.
    ///
    /// - Throws: `EAGAIN` where the process can't have another.
    init(_ body: @escaping @Sendable () -> Void) throws(Errno) {
        var thread = pthread_t()
        // Handed to the thread, which takes over this reference.
        let job = Unmanaged.passRetained(Job(body))
        let status = pthread_create(
            &thread, nil,
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
    func join() { pthread_join(thread, nil) }
}
