internal import Dispatch
internal import Synchronization

/// The gate through which vCPU threads enter the guest.
///
/// A vCPU holds a `sync` block of a concurrent queue while it is inside; the exclusive part of a
/// transaction is a `sync` barrier of that queue. Both run on their callers' threads, so the
/// number of vCPUs is not limited by Dispatch's pool.
public final class VCPUGate: VCPUHold {
    private let gate = EntryGate()
    private let queue = DispatchQueue(label: "memslots.vcpus", attributes: .concurrent)
    private let kicks = Locked<[UInt64: @Sendable () -> Void]>([:])
    private let nextNumber = Atomic<UInt64>(0)
    /// Shared with the table that the gate belongs to, so that each knows the other's threads.
    let domain = RoleDomain()

    /// A gate without vCPUs. Pass it to one table as `vcpus`: a gate that no table has holds nothing.
    public init() {}

    /// Registers a vCPU. Call from any thread, at any time.
    ///
    /// - Parameters:
    ///   - name: shown in errors if the vCPU doesn't leave the guest in time.
    ///   - kick: makes the vCPU leave the guest soon, if it is inside. Called from a submitting
    ///     thread while the gate is closed, once a transaction; must not wait. A vCPU that is in
    ///     the gate and not yet in the guest must be caught too: a bare signal would be lost.
    /// - Returns: the vCPU's entry, to be kept by its thread.
    public func register(name: String, kick: @escaping @Sendable () -> Void) -> VCPUEntry {
        let number = nextNumber.add(1, ordering: .relaxed).newValue
        kicks.withLock { $0[number] = kick }
        return VCPUEntry(gate: self, number: number, name: name)
    }

    fileprivate func unregister(_ number: UInt64) {
        // Released outside of the lock: it may hold another entry of this gate.
        _ = kicks.withLock { $0.removeValue(forKey: number) }
    }

    fileprivate func run<R>(as name: String, _ body: () -> R) throws(ReentryError) -> R {
        if let role = domain.innermostRole { throw ReentryError(role, tried: .enterGuest) }
        let visit = gate.enter(as: name)
        defer { gate.leave(visit) }
        return Scheduling.section(.shared, of: queue) { queue.sync { domain.with(.vcpu, body) } }
    }

    /// Closes the gate and kicks every vCPU. For the table: vCPUs stay out until ``endHolding()``.
    public func beginHolding() {
        gate.close()
        // Copied, so that a kick may be slow without holding the lock.
        for kick in kicks.withLock({ Array($0.values) }) { kick() }
    }

    /// Waits until no vCPU is inside.
    public func waitUntilHeld(by deadline: Deadline) -> [String] { gate.waitUntilEmpty(deadline) }

    /// Runs `body` under the barrier, which is free once all vCPUs have left.
    public func exclusively(_ body: () -> Void) {
        Scheduling.section(.barrier, of: queue) { queue.sync(flags: .barrier, execute: body) }
    }

    /// Opens the gate. For the table.
    public func endHolding() { gate.open() }
}

/// A vCPU's right to enter the guest, kept by its thread.
public final class VCPUEntry: Sendable {
    package let gate: VCPUGate
    private let number: UInt64
    /// The name that errors show.
    public let name: String

    fileprivate init(gate: VCPUGate, number: UInt64, name: String) {
        (self.gate, self.number, self.name) = (gate, number, name)
    }

    deinit { gate.unregister(number) }

    /// Runs `body` inside the gate; waits first while a transaction holds vCPUs out.
    ///
    /// Hold no lock that a hook or a submitting thread may want. From inside, the table can be
    /// read; a transaction can't be submitted, nor the gate be entered again.
    ///
    /// - Parameter body: enters the guest once, and returns soon after a kick.
    /// - Throws: ``ReentryError`` where this thread is inside the gate, in a reader's closure, or
    ///   in a hook or observer of the same table; nothing has been run then.
    public func run<R>(_ body: () -> R) throws(ReentryError) -> R { try gate.run(as: name, body) }
}

/// Holds vCPUs out of the guest while the table changes.
///
/// ``VCPUGate`` is the implementation that comes with the package. A VMM with a pause of its own
/// implements this protocol instead. One transaction at a time calls it, in the order
/// ``beginHolding()``, ``waitUntilHeld(by:)``, ``exclusively(_:)``, ``endHolding()``. After a timeout
/// ``exclusively(_:)`` is left out. After a failed undo ``endHolding()`` is called only when the table
/// is recovered or its vCPUs are released, on the thread that does so.
///
/// There are no default implementations: a method with a mistyped name does not compile.
public protocol VCPUHold: AnyObject, Sendable {
    /// Stops vCPUs from entering the guest, and asks those inside to leave. Must not wait.
    ///
    /// Called again before ``endHolding()`` when a failed table is recovered.
    func beginHolding()

    /// Waits until no vCPU is in the guest, or until `deadline`.
    ///
    /// - Returns: the names of the vCPUs that are still inside; empty if all are held.
    func waitUntilHeld(by deadline: Deadline) -> [String]

    /// Runs `body` once, on the calling thread, while all vCPUs are held. None may enter the guest
    /// before it returns.
    func exclusively(_ body: () -> Void)

    /// Lets vCPUs enter the guest again. Called once for all ``beginHolding()`` before it.
    func endHolding()
}

/// Holds no vCPU: somebody else keeps them out of the guest, or nobody does.
package final class NoHold: VCPUHold {
    package init() {}
    package func beginHolding() {}
    package func waitUntilHeld(by deadline: Deadline) -> [String] { [] }
    package func exclusively(_ body: () -> Void) { body() }
    package func endHolding() {}
}
