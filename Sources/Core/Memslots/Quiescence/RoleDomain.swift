internal import Glibc

/// A callback of a table that the current thread is inside.
public enum ThreadRole: String, Hashable, Sendable {
    /// A hook or an observer, inside a transaction.
    case transaction = "a hook or an observer"
    /// The closure of ``MemslotTable/read(as:_:)`` or of a ``TableReader``.
    case reader = "a reader's closure"
    /// The vCPU gate.
    case vcpu = "the vCPU gate"
}

/// A call from inside a callback of the same table; waiting would deadlock.
public struct ReentryError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was attempted.
    public enum Attempt: String, Hashable, Sendable {
        /// A submit, a plan, a dirty-log read, a recovery.
        case transaction = "a transaction or a read of the dirty log"
        /// Entering the vCPU gate.
        case enterGuest = "entering the vCPU gate"
    }

    /// The callback that the thread is inside.
    public var role: ThreadRole
    /// What it attempted.
    public var attempt: Attempt

    init(_ role: ThreadRole, tried attempt: Attempt) { (self.role, self.attempt) = (role, attempt) }

    /// A sentence that says what was attempted, where, and what to do instead.
    public var message: String {
        "\(attempt.rawValue) is not possible from inside \(role.rawValue) of the same table; "
            + "do it after that has returned, or from another thread"
    }

    /// The message.
    public var description: String { message }
}

/// A table with its gate. It records which callback of the table each thread is inside.
///
/// Dispatch's queue-specific keys show only the innermost `sync` and its target queues, so that a
/// hook under the vCPU barrier, or a reader of one table inside a reader of another, would not be
/// known again. A section runs on one thread, so a list in thread-local memory has every role.
final class RoleDomain: Sendable {
    private struct Frame {
        let domain: ObjectIdentifier
        let role: ThreadRole
        let outer: UnsafeMutableRawPointer?
    }

    private static let key = threadLocalKey()

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

    /// Whether the thread is inside a callback of any table.
    static var isInsideAny: Bool { pthread_getspecific(key) != nil }

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
