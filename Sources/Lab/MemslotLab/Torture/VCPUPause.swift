import Dispatch
import Memslots
import Synchronization

/// Stops all vCPUs between two turns, for the torture to look at what nobody changes.
///
/// It is not the gate: it works alike where the gate is taken out.
final class VCPUPause: Sendable {
    private let isAsked = Atomic<Bool>(false)
    private let parked = DispatchSemaphore(value: 0)
    private let resumes: [DispatchSemaphore]
    private let kick: @Sendable (_ vcpu: Int) -> Void

    /// - Parameter kick: ends the turn of a vCPU soon, or the next one.
    init(vcpus: Int, kick: @escaping @Sendable (Int) -> Void) {
        resumes = (0..<vcpus).map { _ in DispatchSemaphore(value: 0) }
        self.kick = kick
    }

    /// Asks all to stop; may be said twice. Doesn't wait.
    func ask() {
        guard !isAsked.exchange(true, ordering: .sequentiallyConsistent) else { return }
        for vcpu in resumes.indices { kick(vcpu) }
    }

    /// Waits until all have stopped.
    ///
    /// - Returns: whether they have within `seconds`.
    func awaitStop(seconds: Int) -> Bool {
        ask()
        let deadline = DispatchTime.now() + .seconds(seconds)
        return resumes.allSatisfy { _ in parked.wait(timeout: deadline) == .success }
    }

    /// Lets all go on that have stopped.
    func resume() {
        isAsked.store(false, ordering: .sequentiallyConsistent)
        for resume in resumes { resume.signal() }
    }

    /// Said by each vCPU's thread between two turns; stops there if asked.
    func stopIfAsked(_ vcpu: Int) {
        guard isAsked.load(ordering: .sequentiallyConsistent) else { return }
        parked.signal()
        resumes[vcpu].wait()
    }
}

/// Stops the vCPUs at the end of a transaction, before any of them enters the guest again: what
/// is lost can't be covered by what it writes next.
final class PauseAtCommit: MemslotHook {
    private let pause: VCPUPause
    private let isArmed = Atomic<Bool>(false)
    let name = "torture"
    var needsQuiescence: Bool { false }

    init(_ pause: VCPUPause) { self.pause = pause }

    /// Whether the next transaction stops them.
    func arm(_ armed: Bool) { isArmed.store(armed, ordering: .sequentiallyConsistent) }

    func commit(_ change: MemslotChange) {
        if isArmed.load(ordering: .sequentiallyConsistent) { pause.ask() }
    }

    func prepare(_ change: MemslotChange) throws(HookVeto) {}
    func finish(_ change: MemslotChange) {}
    func abort(_ change: MemslotChange) {}
}

/// Holds nobody out: what a VMM does that changes slots beside its running guest.
final class NoHold: VCPUHold {
    func begin() {}
    func waitUntilHeld(by deadline: Deadline) -> [String] { [] }
    func exclusively(_ body: () -> Void) { body() }
    func end() {}
}
