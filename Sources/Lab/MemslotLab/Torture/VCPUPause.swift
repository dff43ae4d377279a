import Dispatch
import Memslots
import Synchronization

/// Pauses all vCPUs between two turns, so that the torture can compare memory with dirty logs.
///
/// It is independent of the gate, and works in naive mode too.
final class VCPUPause: Sendable {
    private let isRequested = Atomic<Bool>(false)
    private let parked = DispatchSemaphore(value: 0)
    private let resumes: [DispatchSemaphore]
    private let kick: @Sendable (_ vcpu: Int) -> Void

    /// - Parameter kick: ends the current turn of a vCPU soon, or its next one.
    init(vcpus: Int, kick: @escaping @Sendable (Int) -> Void) {
        resumes = (0..<vcpus).map { _ in DispatchSemaphore(value: 0) }
        self.kick = kick
    }

    /// Requests a pause without waiting. A second call has no effect.
    func request() {
        guard !isRequested.exchange(true, ordering: .sequentiallyConsistent) else { return }
        for vcpu in resumes.indices { kick(vcpu) }
    }

    /// Waits until all vCPUs have stopped. Returns whether they did within `seconds`.
    func awaitStop(seconds: Int) -> Bool {
        request()
        let deadline = DispatchTime.now() + .seconds(seconds)
        return resumes.allSatisfy { _ in parked.wait(timeout: deadline) == .success }
    }

    func resume() {
        isRequested.store(false, ordering: .sequentiallyConsistent)
        for resume in resumes { resume.signal() }
    }

    /// Stops the calling vCPU's thread between two turns if a pause is requested.
    func stopIfRequested(_ vcpu: Int) {
        guard isRequested.load(ordering: .sequentiallyConsistent) else { return }
        parked.signal()
        resumes[vcpu].wait()
    }
}

/// Pauses the vCPUs at the end of a transaction, before any enters the guest: later writes cannot
/// hide a lost page.
final class PauseAtCommit: MemslotHook {
    private let pause: VCPUPause
    private let isArmed = Atomic<Bool>(false)
    let name = "torture"
    var needsQuiescence: Bool { false }

    init(_ pause: VCPUPause) { self.pause = pause }

    /// Sets whether the next transaction pauses them.
    func arm(_ armed: Bool) { isArmed.store(armed, ordering: .sequentiallyConsistent) }

    func commit(_ change: MemslotChange) {
        if isArmed.load(ordering: .sequentiallyConsistent) { pause.request() }
    }

    func prepare(_ change: MemslotChange) throws(HookVeto) {}
    func finish(_ change: MemslotChange) {}
    func abort(_ change: MemslotChange) {}
}
