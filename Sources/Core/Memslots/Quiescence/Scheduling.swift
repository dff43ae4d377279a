internal import Glibc
internal import Synchronization

/// Decides, in a simulation, which of its threads goes on, and what time it is.
///
/// One thread of a simulation runs at a time. It gives that up only in these calls, so that the
/// order of everything follows from what the scheduler decides, and can be repeated.
package protocol ThreadScheduler: AnyObject, Sendable {
    /// The time in nanoseconds. Grows a little with each call, so that no thread spins forever.
    func now() -> UInt64

    /// A point at which another thread may go on. No lock is held here.
    func yield()

    /// Waits for a ``wake(_:)`` of `key`, but not past `deadline`.
    ///
    /// - Returns: whether there was time left.
    func wait(for key: ObjectIdentifier, until deadline: Deadline) -> Bool

    func wake(_ key: ObjectIdentifier)

    /// Waits until the section `key` can be entered, and enters it.
    func enter(_ key: ObjectIdentifier, _ kind: SectionKind)

    func leave(_ key: ObjectIdentifier, _ kind: SectionKind)

    /// Runs `body` on a thread more of the simulation.
    func spawn(_ body: @escaping @Sendable () -> Void)
}

/// How a section of a queue excludes others.
package enum SectionKind: Sendable {
    /// One at a time, each waiting for its turn.
    case serial
    /// Beside others of this kind.
    case shared
    /// Alone; a gate has emptied the section before.
    case barrier
}

/// Finds the scheduler of a thread that belongs to a simulation.
///
/// Every wait in this module asks here first. Outside of simulations that reads one integer.
package enum Scheduling {
    private static let simulatedThreads = Atomic<Int>(0)

    private final class Seat {
        let scheduler: any ThreadScheduler
        init(_ scheduler: any ThreadScheduler) { self.scheduler = scheduler }
    }

    private static let key = threadLocalKey()

    /// The scheduler of this thread; `nil` outside of simulations.
    @inline(__always)
    static var current: (any ThreadScheduler)? {
        simulatedThreads.load(ordering: .relaxed) == 0 ? nil : ofThisThread
    }

    private static var ofThisThread: (any ThreadScheduler)? {
        guard let pointer = pthread_getspecific(key) else { return nil }
        return Unmanaged<Seat>.fromOpaque(pointer).takeUnretainedValue().scheduler
    }

    /// Runs `body` as a thread of the simulation that `scheduler` decides.
    package static func run(under scheduler: any ThreadScheduler, _ body: () -> Void) {
        let seat = Seat(scheduler)
        simulatedThreads.add(1, ordering: .relaxed)
        // The seat outlives the time that its pointer is there.
        pthread_setspecific(key, Unmanaged.passUnretained(seat).toOpaque())
        withExtendedLifetime(seat, body)
        pthread_setspecific(key, nil)
        simulatedThreads.subtract(1, ordering: .relaxed)
    }

    /// A point at which another thread may go on, in a simulation. No lock may be held here.
    @inline(__always)
    static func point() { current?.yield() }

    /// Runs `body`, which is a `sync` on `queue`; in a simulation, where that can't block.
    @inline(__always)
    static func section<R>(
        _ kind: SectionKind, of queue: AnyObject, _ body: () -> R
    ) -> R {
        guard let scheduler = current else { return body() }
        let key = ObjectIdentifier(queue)
        scheduler.enter(key, kind)
        defer { scheduler.leave(key, kind) }
        return body()
    }
}
