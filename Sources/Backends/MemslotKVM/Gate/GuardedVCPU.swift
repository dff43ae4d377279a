public import Memslots

/// A vCPU that runs its guest inside a ``VCPUGate``, so that it never sees a half changed table.
///
/// Registered as long as this object lives. One thread at a time runs it, and any thread may: it
/// is known by the thread that is inside. Before its first ``run()`` a thread must be able to take
/// the signal: ``KickSignal/acceptOnCurrentThread()``.
///
/// To come out for a transaction looks to the VMM like a signal of its own: ``run()`` returns
/// ``VCPUExit/interrupted``, perhaps with nobody asking. The gate never enters the guest again by
/// itself, since the VMM may have set `immediate_exit` or sent the signal for its own ends, and
/// must be handed every `EINTR`. So the VMM's loop looks at what it waits for, and runs again.
///
/// What the VMM does between two runs is outside of the gate: it may submit. A read of MMIO or
/// of a port that it has answered is completed by the next ``run()``, on the table as it is then,
/// before the guest goes on; a transaction between the two is harmless. A VMM that wants the
/// completion without running the guest, as for a snapshot, kicks itself first: ``run()`` completes
/// and returns ``VCPUExit/interrupted``.
public final class GuardedVCPU: Sendable {
    /// The vCPU.
    public let vcpu: VCPU
    private let entry: VCPUEntry
    private let kicker: VCPUKick
    private let target: KickTarget

    /// Makes a vCPU known to a gate. From any thread, at any time, also while a drain begins.
    ///
    /// - Parameters:
    ///   - vcpu: the vCPU; from ``VCPU/init(adopting:sharedPage:id:)`` where the VMM made it.
    ///   - gate: that of the VM's table.
    ///   - signal: brings its thread out of the guest.
    ///   - name: told in errors if it doesn't leave in time; its number by default.
    public init(_ vcpu: VCPU, gate: VCPUGate, signal: KickSignal, name: String? = nil) {
        let kicker = vcpu.makeKick(signal: signal)
        let target = KickTarget(kicker)
        self.vcpu = vcpu
        self.kicker = kicker
        self.target = target
        // The vCPU is kept too: its mapping is what the kick touches.
        self.entry = gate.register(name: name ?? "\(vcpu.id)") { [vcpu] in
            withExtendedLifetime(vcpu) { target.kick(.gate) }
        }
    }

    deinit { target.retire() }

    /// What errors call it.
    public var name: String { entry.name }

    /// Its number in the VM.
    public var id: UInt32 { vcpu.id }

    /// Its descriptor.
    public var descriptor: Int32 { vcpu.descriptor }

    /// What the guest gets for its read, before the next ``run()``. Only after ``VCPUExit/mmio(_:)``.
    public func answerMMIO(_ value: UInt64) { vcpu.answerMMIO(value) }

    /// Runs the guest until it leaves; waits first while a transaction holds vCPUs out.
    ///
    /// Hold no lock that a hook or a submitting thread may want.
    ///
    /// - Returns: the exit, and who asked for one since the last time. ``KickRequests/embedder``
    ///   is a ``kick()``, and may come with any exit; ``KickRequests/gate`` asks for nothing.
    /// - Throws: ``VCPURunError``.
    public func run() throws(VCPURunError) -> (exit: VCPUExit, requests: KickRequests) {
        let result: Result<(exit: VCPUExit, requests: KickRequests), Errno>
        do throws(ReentryError) {
            result = try entry.run {
                do throws(Errno) { return .success(try vcpu.run(with: kicker)) } catch {
                    return .failure(error)
                }
            }
        } catch {
            throw .reentrant(error)
        }
        switch result {
        case .success(let turn): return turn
        case .failure(let errno): throw .failed(errno)
        }
    }

    /// Brings the vCPU out of the guest for the VMM's own ends, or keeps it from entering once.
    ///
    /// From any thread, at any time; never waits. The next return of ``run()``, or the one after
    /// it, tells ``KickRequests/embedder``.
    public func kick() { target.kick(.embedder) }

    /// Runs something else that uses slots inside the gate, such as `KVM_TRANSLATE` on this vCPU.
    ///
    /// It is not interrupted: let it be short, or submits give up at their deadline.
    public func guarded<R>(_ body: () -> R) throws(ReentryError) -> R { try entry.run(body) }

    /// Lets go of the shared page: once this has returned, a VMM that mapped it may unmap it.
    ///
    /// Not while a thread is in ``run()``, nor is there any run after it.
    public func retire() { target.retire() }
}
