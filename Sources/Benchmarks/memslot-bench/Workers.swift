import CYardsticks
import Glibc
import Memslots
import Synchronization

/// Several threads that do the same at once.
enum Workers {
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
        var threads: [OwnThread] = []
        defer { for thread in threads { thread.join() } }
        for number in 0..<count { threads.append(try start { body(number) }) }
    }

    /// Starts a thread; the caller joins it.
    static func start(
        _ body: @escaping @Sendable () -> Void
    ) throws(BenchmarkError) -> OwnThread {
        do throws(Errno) { return try OwnThread(body) } catch {
            throw .broken("no thread can be made: \(error)")
        }
    }
}
