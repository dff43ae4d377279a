import Dispatch
import Glibc
import Memslots
import Synchronization

/// The threads of the vCPUs of a torture.
struct TortureVCPUs {
    /// Seconds within which a vCPU must make a round or pause.
    static let patience = 10

    private let machine: any TortureMachine
    private let pause: VCPUPause
    private let count: Int
    /// Binds them to other processors than the thread that changes slots; `nil` leaves them free.
    private let processors: Processors?
    private var threads: [OwnThread] = []

    init(_ machine: any TortureMachine, _ pause: VCPUPause, count: Int, binding: Processors?) {
        (self.machine, self.pause, self.count, processors) = (machine, pause, count, binding)
    }

    mutating func start() throws(TortureError) {
        for vcpu in 0..<count {
            do throws(Errno) {
                let thread = try OwnThread { [machine, pause, processors] in
                    processors?.bindToAnother(vcpu)
                    machine.begin(vcpu)
                    repeat {
                        sched_yield()
                        pause.stopIfRequested(vcpu)
                    } while machine.turn(vcpu)
                }
                threads.append(thread)
            } catch { throw .system(error) }
        }
    }

    /// The rounds of all vCPUs so far.
    var rounds: UInt64 { (0..<count).reduce(0) { $0 + UInt64(machine.rounds(of: $1)) } }

    /// Waits until every vCPU has ended `rounds` rounds from now on.
    func awaitRounds(_ rounds: UInt32 = 1) throws(TortureError) {
        let former = (0..<count).map { machine.rounds(of: $0) }
        var waiting = Set(former.indices)
        try Self.waitUntil {
            for vcpu in waiting where machine.rounds(of: vcpu) &- former[vcpu] >= rounds {
                waiting.remove(vcpu)
                // Yields its processor to a vCPU that may have none.
                machine.kick(vcpu)
            }
            return waiting.first
        }
    }

    /// - Parameter lacking: returns a vCPU that is not done; `nil` when all are.
    static func waitUntil(_ lacking: () -> Int?) throws(TortureError) {
        let end = Deadline.after(.seconds(patience))
        while let vcpu = lacking() {
            if end.hasPassed { throw .stuck(vcpu: vcpu) }
            // A guest does not signal a write. With a single processor, it needs this one.
            sched_yield()
        }
    }

    mutating func end() throws(TortureError) {
        guard threads.count == count, pause.awaitStop(seconds: Self.patience) else {
            throw .stuck(vcpu: 0)
        }
        machine.endWithThisRound()
        pause.resume()
        for thread in threads { thread.join() }
        threads = []
    }
}

/// Pauses all vCPUs between two turns, to compare memory with dirty logs. Independent of the gate.
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

/// Pauses vCPUs at a transaction's end, before any enters: no later write hides a lost page.
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
