internal import Glibc

/// What a thread is doing for a table right now, as far as that forbids something else.
public enum ThreadRole: String, Hashable, Sendable {
    /// Inside a transaction of the table: a hook or an observer runs.
    case transaction = "a hook or an observer"
    /// Inside a reader's closure, be it ``MemslotTable/read(as:_:)`` or ``TableReader``.
    case reader = "a reader's closure"
    /// Inside the vCPU gate.
    case vcpu = "the vCPU gate"
}

/// Something was tried from a place in which it would wait for itself.
public struct ReentryError: Error, Hashable, Sendable {
    /// What can't be done from inside.
    public enum Attempt: String, Hashable, Sendable {
        /// A submit, a plan, a dirty-log read, a recovery.
        case transaction = "a transaction or a look at the dirty log"
        /// Entering the vCPU gate.
        case enterGuest = "entering the vCPU gate"
    }

    /// Where the thread is.
    public var role: ThreadRole
    /// What it tried.
    public var attempt: Attempt

    init(_ role: ThreadRole, tried attempt: Attempt) {
        self.role = role
        self.attempt = attempt
    }

    /// What was tried, where, and what to do instead.
    public var message: String {
        "\(attempt.rawValue) is not possible from inside \(role.rawValue) of the same table; "
            + "do it after that has returned, or from another thread"
    }
}

/// A table with its gate: threads are known in it by what they do for it.
///
/// Dispatch's queue-specific keys show only the innermost `sync` and its target queues, so that a
/// hook under the vCPU barrier, or a reader of one table inside a reader of another, would not be
/// known again. `sync` runs on the caller's thread, so a list in thread-local memory tells all.
final class RoleDomain: Sendable {
    private struct Frame {
        let domain: ObjectIdentifier
        let role: ThreadRole
        let outer: UnsafeMutableRawPointer?
    }

    private static let key: pthread_key_t = {
        var key = pthread_key_t()
        let status = pthread_key_create(&key, nil)
        precondition(status == 0, "the process has no thread-local key left")
        return key
    }()

    /// Runs `body` with the thread in `role`.
    func with<R, E: Error>(_ role: ThreadRole, _ body: () throws(E) -> R) throws(E) -> R {
        let outer = pthread_getspecific(Self.key)
        let frame = UnsafeMutablePointer<Frame>.allocate(capacity: 1)
        frame.initialize(to: Frame(domain: ObjectIdentifier(self), role: role, outer: outer))
        pthread_setspecific(Self.key, frame)
        defer {
            pthread_setspecific(Self.key, outer)
            frame.deallocate()
        }
        return try body()
    }

    /// The thread's innermost role in this domain, however many other tables it is in since.
    var innermostRole: ThreadRole? { first { _ in true } }

    /// Whether the thread is in `role` in this domain, however deep.
    func isIn(_ role: ThreadRole) -> Bool { first { $0 == role } != nil }

    private func first(where matches: (ThreadRole) -> Bool) -> ThreadRole? {
        var pointer = pthread_getspecific(Self.key)
        while let frame = pointer?.assumingMemoryBound(to: Frame.self) {
            if frame.pointee.domain == ObjectIdentifier(self), matches(frame.pointee.role) {
                return frame.pointee.role
            }
            pointer = frame.pointee.outer
        }
        return nil
    }
}
