import Dispatch
import Foundation
import Memslots

/// How long a test waits for what must come, in seconds: long, so that only a deadlock fails.
private let patience = 30.0

/// Lets other threads run until `condition` holds; half a minute at most.
func yieldThread(until condition: () -> Bool) -> Bool {
    let end = DispatchTime.now() + patience
    while !condition() {
        if DispatchTime.now() > end { return false }
        sched_yield()
    }
    return true
}

/// A real thread, to be waited for. It is no part of any pool.
final class TestThread: Sendable {
    private let ended = DispatchSemaphore(value: 0)

    init(_ body: @escaping @Sendable () -> Void) {
        let ended = ended
        let thread = Thread {
            body()
            ended.signal()
        }
        thread.start()
    }

    /// Waits for the thread's end; half a minute at most, so that a deadlock fails the test and does not hang it.
    func join() -> Bool { ended.wait(timeout: .now() + patience) == .success }
}

/// Something that happens once, which threads wait for.
final class Signal: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)

    func send() { semaphore.signal() }

    /// Waits; half a minute at most.
    @discardableResult
    func wait() -> Bool {
        let hasCome = semaphore.wait(timeout: .now() + patience) == .success
        if hasCome { semaphore.signal() }
        return hasCome
    }
}

/// A value that threads share.
final class Shared<Value: Sendable>: Sendable {
    private let state: Locked<Value>

    init(_ value: Value) { state = Locked(value) }

    var value: Value { state.withLock { $0 } }

    func update<R: Sendable>(_ body: (inout Value) -> R) -> R {
        state.withLock { value in
            var copy = value
            defer { value = copy }
            return body(&copy)
        }
    }
}
