import Dispatch
import Foundation
import Synchronization

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

    /// Waits for the thread's end; a minute at most, so that a deadlock is told and not waited for.
    func join() -> Bool { ended.wait(timeout: .now() + 60) == .success }
}

/// Something that happens once, which threads wait for.
final class Signal: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)

    func send() { semaphore.signal() }

    /// Waits; a minute at most.
    @discardableResult
    func wait() -> Bool {
        let hasCome = semaphore.wait(timeout: .now() + 60) == .success
        if hasCome { semaphore.signal() }
        return hasCome
    }
}

/// A value that threads share.
final class Shared<Value: Sendable>: Sendable {
    private let state: Mutex<Value>

    init(_ value: Value) { state = Mutex(value) }

    var value: Value { state.withLock { $0 } }

    func update<R: Sendable>(_ body: (inout Value) -> R) -> R {
        state.withLock { value in
            var copy = value
            defer { value = copy }
            return body(&copy)
        }
    }
}
