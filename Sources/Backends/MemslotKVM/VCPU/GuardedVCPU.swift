public import Memslots

/// A vCPU that runs its guest inside a `VCPUGate`, so that the guest never observes a half-changed
/// table.
///
/// The vCPU is registered as long as this object lives. Any thread may run it, one at a time. Before
/// its first ``run()`` a thread must call ``KickSignal/acceptOnCurrentThread()``.
///
/// A transaction makes ``run()`` return ``VCPUExit/interrupted``, as a signal of the VMM does, and
/// it may return so without a cause. The gate never re-enters the guest by itself: the VMM may have
/// set `immediate_exit` or sent the signal for its own purposes, and must see every `EINTR`. So the
/// VMM's loop checks its own conditions and calls ``run()`` again.
///
/// Between two runs the VMM's thread is outside the gate and may submit. A read of MMIO or of a port
/// is completed by the next ``run()``, with the array of that time, before the guest continues; a
/// transaction in between is harmless. To complete a read without running the guest, as before a
/// snapshot, call ``kick()`` first: ``run()`` completes it and returns ``VCPUExit/interrupted``.
public final class GuardedVCPU: Sendable {
    package let vcpu: VCPU
    let entry: VCPUEntry
    let kicker: VCPUKick
    let signal: KickSignal
    private let target: KickTarget

    /// Registers a vCPU with a gate. Call it from any thread, at any time, also during a drain.
    ///
    /// - Parameters:
    ///   - vcpu: the vCPU. For one that the VMM created, see ``VCPU/init(adopting:sharedPage:id:)``.
    ///   - gate: the gate of the VM's table.
    ///   - signal: makes the vCPU's thread leave the guest.
    ///   - name: names the vCPU in errors if it does not leave in time; its number by default.
    public init(_ vcpu: VCPU, gate: VCPUGate, signal: KickSignal, name: String? = nil) {
        let kicker = vcpu.makeKick(signal: signal)
        let target = KickTarget(kicker)
        (self.vcpu, self.kicker, self.signal, self.target) = (vcpu, kicker, signal, target)
        // The closure retains the vCPU, because a kick writes to its mapping.
        self.entry = gate.register(name: name ?? "\(vcpu.id)") { [vcpu] in
            withExtendedLifetime(vcpu) { target.kick(.gate) }
        }
    }

    deinit { target.release() }

    /// The vCPU's number in the VM.
    public var id: UInt32 { vcpu.id }

    /// The vCPU's descriptor.
    public var descriptor: Int32 { vcpu.descriptor }

    /// Sets the value of the guest's read, before the next ``run()``. Only after
    /// ``VCPUExit/mmio(_:)``.
    public func completeMMIORead(with value: UInt64) { vcpu.completeMMIORead(with: value) }

    /// The vCPU's name in errors.
    public var name: String { entry.name }

    /// Runs the guest until it leaves. First waits while a transaction holds vCPUs.
    ///
    /// Hold no lock that a hook or a submitting thread may acquire.
    ///
    /// - Returns: the exit, and the requests to leave since the last call. A ``kick()`` is
    ///   ``KickRequests/embedder`` and may accompany any exit; ``KickRequests/gate`` needs no
    ///   reaction.
    /// - Throws: ``VCPURunError``.
    public func run() throws(VCPURunError) -> (exit: VCPUExit, requests: KickRequests) {
        let result = try converting(
            VCPURunError.reentrant,
            entry.run { Result { () throws(Errno) in try vcpu.run(with: kicker) } })
        return try converting(VCPURunError.failed, result.get())
    }

    /// Makes the vCPU leave the guest, or prevents its next entry.
    ///
    /// Call it from any thread, at any time; it never waits. The next return of ``run()``, or the
    /// one after it, reports ``KickRequests/embedder``.
    public func kick() { target.kick(.embedder) }

    /// Runs `body`, which uses slots, inside the gate, such as `KVM_TRANSLATE` on this vCPU.
    ///
    /// It is not interrupted: if it takes long, submits fail at their deadline.
    public func runGuarded<R>(_ body: () -> R) throws(ReentryError) -> R { try entry.run(body) }

    /// Stops using the shared page. After it returns, a VMM that mapped the page may unmap it.
    ///
    /// - Precondition: no thread is in ``run()``, and none calls it again.
    public func releaseSharedPage() { target.release() }
}

/// Why a guest could not be run.
public enum VCPURunError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Called where waiting for the gate would deadlock; the guest did not run.
    case reentrant(ReentryError)
    /// `KVM_RUN` failed. `EFAULT`: a slot is not backed by user memory. Kicks stay pending.
    case failed(Errno)

    /// The message.
    public var description: String { message }

    /// What is wrong.
    public var message: String {
        switch self {
        case .reentrant(let error): error.message
        case .failed(let errno): "KVM_RUN failed with \(errno)"
        }
    }
}

/// A vCPU's kick, as long as its shared page may be written.
///
/// A drain copies the kicks before it uses them, so one may come after its vCPU has left the gate.
private final class KickTarget: Sendable {
    private let kick: Locked<VCPUKick?>

    init(_ kick: VCPUKick) { self.kick = Locked(kick) }

    /// Makes the vCPU leave, unless it was released.
    func kick(_ request: KickRequests) { kick.withLock { $0?.kick(request) } }

    /// Waits for a running kick. No kick follows.
    func release() { kick.withLock { $0 = nil } }
}

extension VCPUGate {
    /// Runs `body`, which uses slots on behalf of no vCPU, inside the gate: an ioctl on the VM, or
    /// the loading of a device's state.
    ///
    /// First waits while a transaction holds vCPUs; a transaction waits until `body` returns. It is
    /// not interrupted: if it takes long, submits fail at their deadline. Hold no lock that a hook or
    /// a submitting thread may acquire.
    ///
    /// - Parameters:
    ///   - name: names the call in errors if it does not return in time.
    ///   - body: what to run.
    /// - Throws: ``ReentryError`` if this thread is inside the gate, in a reader's closure, or in a
    ///   hook or observer of the same table. Then `body` did not run.
    public func runGuarded<R>(as name: String, _ body: () -> R) throws(ReentryError) -> R {
        // There is nothing to kick, and the entry ends with the call.
        let entry = register(name: name, kick: {})
        return try entry.run(body)
    }
}
