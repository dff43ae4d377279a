import CDispatch
import Dispatch
import Glibc
import Memslots

/// A thread of the simulation: a real one, which runs when it has the baton.
// Sendable: its state is touched by whoever has the baton, alone.
final class Fiber: @unchecked Sendable {
    enum State {
        case ready
        case waiting(key: ObjectIdentifier?, until: Deadline)
        case ended
    }

    let name: String
    var state = State.ready
    /// Whether the last wait ended because there was no time left.
    var hasTimedOut = false
    private let baton = DispatchSemaphore(value: 0)

    init(_ name: String) { self.name = name }

    var canRun: Bool {
        if case .ready = state { true } else { false }
    }

    /// When its wait ends by itself; `nil` where it doesn't.
    var deadline: Deadline? {
        guard case .waiting(_, let deadline) = state, deadline != .never else { return nil }
        return deadline
    }

    func isWaiting(for key: ObjectIdentifier) -> Bool {
        if case .waiting(key, _) = state { true } else { false }
    }

    func handBaton() { baton.signal() }

    func awaitBaton() { baton.wait() }

    private final class Job {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }

    private static let stackBytes = 512 << 10

    /// Starts the thread, which runs `body` once it has the baton.
    func start(_ body: @escaping () -> Void) {
        let job = Job { [self] in
            awaitBaton()
            body()
        }
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, Self.stackBytes)
        var thread = pthread_t()
        // Handed to the thread, which takes over this reference.
        let argument = Unmanaged.passRetained(job).toOpaque()
        let status = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Job>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            }, argument)
        precondition(status == 0, "the process can't have another thread")
    }
}
