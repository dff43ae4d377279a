import CKVM
public import Memslots
import Synchronization

/// Makes one vCPU leave the guest, and reports to its thread who requested it.
///
/// A request is a bit, which any thread may set, and `immediate_exit`, set after the bit: a vCPU on
/// its way into `KVM_RUN` then returns at once. A vCPU that is inside receives a signal. Only the
/// vCPU's thread resets the two. It clears `immediate_exit` only after a `KVM_RUN` that returned
/// `EINTR`, which the VMM always sees, so a VMM that sets the byte itself loses no request. After
/// another exit the byte stays set, and the next `KVM_RUN` returns `EINTR`, perhaps without a
/// request, which is always legal. The byte is cleared before the bits are collected: a request in
/// between has its bit collected, or leaves both set.
///
/// Kernel: Documentation/virt/kvm/api.rst 5, `immediate_exit`.
///
/// `@unchecked Sendable`: only `immediate_exit` of the shared page is accessed, atomically.
public final class VCPUKick: @unchecked Sendable {
    private let sharedPage: UnsafeMutableRawPointer
    private let send: @Sendable (_ thread: Int32) -> Void
    private let requests = Atomic<UInt32>(0)
    /// The thread that is inside, or 0.
    private let inside = Atomic<Int32>(0)

    /// Creates a kick for the vCPU with this shared page.
    ///
    /// - Parameters:
    ///   - sharedPage: the mapped `struct kvm_run`, which must outlive this object.
    ///   - signal: the signal to send to the thread that runs the vCPU.
    public convenience init(sharedPage: UnsafeMutableRawPointer, signal: KickSignal) {
        self.init(sharedPage: sharedPage) { signal.send(to: $0) }
    }

    /// Creates a kick that calls `send` instead of sending a signal.
    init(sharedPage: UnsafeMutableRawPointer, send: @escaping @Sendable (Int32) -> Void) {
        (self.sharedPage, self.send) = (sharedPage, send)
    }

    /// Requests that the vCPU leave. Call it from any thread, at any time; it never waits.
    public func kick(_ request: KickRequests) {
        for step in Self.kicking { perform(step, for: request) }
    }

    /// The requests that are not collected yet.
    package var pending: KickRequests {
        KickRequests(rawValue: requests.load(ordering: .sequentiallyConsistent))
    }

    /// Whether the vCPU's thread is in ``VCPU/run(with:)``.
    package var isInside: Bool { inside.load(ordering: .sequentiallyConsistent) != 0 }

    /// The vCPU's thread calls it right before `KVM_RUN`.
    func enter() {
        inside.store(ckvm_thread(), ordering: .sequentiallyConsistent)
        // Pairs with the fence of `alert`: either the kicker reads which thread is inside, or the
        // kernel reads `immediate_exit`.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    /// The vCPU's thread calls it right after `KVM_RUN`.
    ///
    /// - Parameter interrupted: whether `KVM_RUN` returned `EINTR`, which the VMM will see.
    /// - Returns: the requests since the last call.
    func leave(interrupted: Bool) -> KickRequests {
        Self.leaving.reduce(into: []) { $0.formUnion(perform($1, interrupted: interrupted)) }
    }

    /// Replaces ``leave(interrupted:)`` after a `KVM_RUN` that failed: requests stay pending.
    func depart() { inside.store(0, ordering: .sequentiallyConsistent) }
}

// The two orders are the whole protocol. As lists, they let a test interleave the steps of several
// threads in every order.
extension VCPUKick {
    /// A step of a kicker.
    enum KickStep {
        case post
        case raise
        case alert
    }

    /// A step of the vCPU's thread after `KVM_RUN`.
    enum LeaveStep {
        case depart
        case lower
        case collect
    }

    static let kicking: [KickStep] = [.post, .raise, .alert]
    static let leaving: [LeaveStep] = [.depart, .lower, .collect]

    func perform(_ step: KickStep, for request: KickRequests) {
        switch step {
        case .post: requests.bitwiseOr(request.rawValue, ordering: .sequentiallyConsistent)
        case .raise: ckvm_set_immediate_exit(sharedPage, 1)
        case .alert:
            atomicMemoryFence(ordering: .sequentiallyConsistent)
            let thread = inside.load(ordering: .sequentiallyConsistent)
            if thread != 0 { send(thread) }
        }
    }

    func perform(_ step: LeaveStep, interrupted: Bool) -> KickRequests {
        switch step {
        case .depart: depart()
        case .lower: if interrupted { ckvm_set_immediate_exit(sharedPage, 0) }
        case .collect:
            return KickRequests(rawValue: requests.exchange(0, ordering: .sequentiallyConsistent))
        }
        return []
    }
}

/// Who requests that a vCPU leave the guest, one bit each.
public struct KickRequests: OptionSet, Hashable, Sendable {
    /// The bits.
    public let rawValue: UInt32

    /// Creates requests from their bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The gate, for a transaction.
    public static let gate = KickRequests(rawValue: 1 << 0)
    /// The VMM, for its own purposes.
    public static let embedder = KickRequests(rawValue: 1 << 1)
}

/// The signal that makes a thread leave `KVM_RUN`. The VMM chooses its number.
///
/// KVM returns from the guest for any unblocked signal that is not ignored. The handler does nothing.
public struct KickSignal: Hashable, Sendable {
    /// The number.
    public let number: Int32

    /// The first real-time signal: 34 with glibc.
    public static var firstRealtime: Int32 { ckvm_first_realtime_signal() }

    /// Gives the signal a handler that does nothing, unless it has a handler already.
    ///
    /// This concerns the whole process. Do not reset or ignore the signal afterwards.
    /// - Throws: `EINVAL` for a number that cannot be handled.
    public init(number: Int32 = KickSignal.firstRealtime) throws(Errno) {
        _ = try valueOfCall(ckvm_handle_signal(number))
        self.number = number
    }

    /// Unblocks the signal in the calling thread. Each vCPU's thread calls it once before it runs.
    ///
    /// Not for a VMM that blocks the signal outside `KVM_RUN` by `KVM_SET_SIGNAL_MASK`.
    public func acceptOnCurrentThread() throws(Errno) {
        _ = try valueOfCall(ckvm_unblock_signal(number))
    }

    /// Sends the signal. A thread that has ended needs none.
    func send(to thread: Int32) { _ = ckvm_signal_thread(getpid(), thread, number) }
}

extension VCPU {
    /// Creates a kick for this vCPU, which must outlive it.
    public func makeKick(signal: KickSignal) -> VCPUKick {
        VCPUKick(sharedPage: sharedPage, signal: signal)
    }

    /// Runs the guest. `kick` can make it leave.
    ///
    /// - Parameter kick: this vCPU's.
    /// - Returns: the exit, and who requested one. Requests may accompany any exit. An
    ///   ``VCPUExit/interrupted`` without a request is the VMM's, or has no cause.
    /// - Throws: as ``run()``; requests then stay pending.
    public func run(with kick: VCPUKick) throws(Errno) -> (exit: VCPUExit, requests: KickRequests) {
        kick.enter()
        let exit: VCPUExit
        do throws(Errno) {
            exit = try run()
        } catch {
            kick.depart()
            throw error
        }
        return (exit, kick.leave(interrupted: exit == .interrupted))
    }
}
