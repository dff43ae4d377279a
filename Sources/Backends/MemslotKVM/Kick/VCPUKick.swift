import CKVM
import Synchronization

/// Brings one vCPU out of the guest, and tells its thread who asked.
///
/// A request is a bit, set by anyone, and `immediate_exit`, set after it: a vCPU on its way into
/// `KVM_RUN` returns at once. One that is inside gets a signal. Both are taken back by the vCPU's
/// thread alone. `immediate_exit` is cleared only after a `KVM_RUN` that returned `EINTR`, which
/// the VMM must be handed, always: so a VMM that sets the byte itself loses no request by ours.
/// After another exit it stays, and the next `KVM_RUN` returns `EINTR`, perhaps for nothing,
/// which is always legal. The byte is cleared before the bits are taken: what is asked in between
/// leaves its bit taken, or both behind.
///
/// Kernel: Documentation/virt/kvm/api.rst 5, `immediate_exit`.
///
/// `@unchecked Sendable`: of the shared page only `immediate_exit` is touched, and atomically.
public final class VCPUKick: @unchecked Sendable {
    private let sharedPage: UnsafeMutableRawPointer
    private let send: @Sendable (_ thread: Int32) -> Void
    private let requests = Atomic<UInt32>(0)
    /// The thread that is inside, or 0.
    private let inside = Atomic<Int32>(0)

    /// For the vCPU whose shared page this is.
    ///
    /// - Parameters:
    ///   - sharedPage: its mapped `struct kvm_run`; must outlive this object.
    ///   - signal: what to send to the thread that runs it.
    public convenience init(sharedPage: UnsafeMutableRawPointer, signal: KickSignal) {
        self.init(sharedPage: sharedPage) { signal.send(to: $0) }
    }

    /// With anything in the place of the signal.
    init(sharedPage: UnsafeMutableRawPointer, send: @escaping @Sendable (Int32) -> Void) {
        self.sharedPage = sharedPage
        self.send = send
    }

    /// Asks the vCPU to come out. From any thread, at any time; never waits.
    public func kick(_ request: KickRequests) {
        for step in Self.kicking { take(step, for: request) }
    }

    /// What was asked and not yet collected.
    public var pending: KickRequests {
        KickRequests(rawValue: requests.load(ordering: .sequentiallyConsistent))
    }

    /// Whether its thread is between ``enter()`` and ``leave(interrupted:)``.
    public var isInside: Bool { inside.load(ordering: .sequentiallyConsistent) != 0 }

    /// Said by the vCPU's thread right before `KVM_RUN`.
    func enter() {
        inside.store(ckvm_thread(), ordering: .sequentiallyConsistent)
        // Pairs with the one in `alert`: either the kicker sees who is inside, or the kernel
        // sees `immediate_exit`.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    /// Said by the vCPU's thread right after `KVM_RUN`.
    ///
    /// - Parameter interrupted: whether it returned `EINTR`, and the VMM will be told so.
    /// - Returns: who asked since the last time.
    func leave(interrupted: Bool) -> KickRequests {
        Self.leaving.reduce(into: []) { $0.formUnion(take($1, interrupted: interrupted)) }
    }

    /// Said instead of ``leave(interrupted:)`` where `KVM_RUN` failed: requests stay pending.
    func depart() { inside.store(0, ordering: .sequentiallyConsistent) }
}

// The orders are the whole protocol: they stand here as lists, so that a test can put the steps
// of several threads into every order that there is.
extension VCPUKick {
    /// What a kicker does.
    enum KickStep {
        case post
        case raise
        case alert
    }

    /// What the vCPU's thread does when it is out.
    enum LeaveStep {
        case depart
        case lower
        case collect
    }

    static let kicking: [KickStep] = [.post, .raise, .alert]
    static let leaving: [LeaveStep] = [.depart, .lower, .collect]

    func take(_ step: KickStep, for request: KickRequests) {
        switch step {
        case .post: requests.bitwiseOr(request.rawValue, ordering: .sequentiallyConsistent)
        case .raise: ckvm_set_immediate_exit(sharedPage, 1)
        case .alert:
            atomicMemoryFence(ordering: .sequentiallyConsistent)
            let thread = inside.load(ordering: .sequentiallyConsistent)
            if thread != 0 { send(thread) }
        }
    }

    func take(_ step: LeaveStep, interrupted: Bool) -> KickRequests {
        switch step {
        case .depart: depart()
        case .lower: if interrupted { ckvm_set_immediate_exit(sharedPage, 0) }
        case .collect:
            return KickRequests(rawValue: requests.exchange(0, ordering: .sequentiallyConsistent))
        }
        return []
    }
}
