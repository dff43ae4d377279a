import CYardsticks
import Glibc
import Synchronization

/// Several threads that do the same at once.
enum Workers {
    private final class Job: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// Runs `body` on `count` threads of their own, with the number of each, and waits for all.
    ///
    /// Each is bound to a processor.
    static func run(
        _ count: Int, _ body: @escaping @Sendable (Int) -> Void
    ) throws(BenchmarkError) {
        let waiting = Atomic<Int>(0)
        try withAll(count) { number in
            ys_pin(Int32(number))
            // All begin at once.
            waiting.add(1, ordering: .sequentiallyConsistent)
            while waiting.load(ordering: .sequentiallyConsistent) < count { sched_yield() }
            body(number)
        }
    }

    private static func withAll(
        _ count: Int, _ body: @escaping @Sendable (Int) -> Void
    ) throws(BenchmarkError) {
        var threads: [pthread_t] = []
        defer { for thread in threads { pthread_join(thread, nil) } }
        for number in 0..<count { threads.append(try start { body(number) }) }
    }

    /// Starts a thread; the caller joins it.
    static func start(
        _ body: @escaping @Sendable () -> Void
    ) throws(BenchmarkError) -> pthread_t {
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
            throw .broken("no thread can be made: errno \(status)")
        }
        return thread
    }
}
