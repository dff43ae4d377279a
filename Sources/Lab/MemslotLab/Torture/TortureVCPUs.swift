import Dispatch
import Glibc
import Memslots

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

    init(
        _ machine: any TortureMachine, _ pause: VCPUPause, count: Int, binding: Processors?
    ) {
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
        let start = DispatchTime.now().uptimeNanoseconds
        while let vcpu = lacking() {
            let waited = DispatchTime.now().uptimeNanoseconds - start
            guard waited < UInt64(patience) * 1_000_000_000 else { throw .stuck(vcpu: vcpu) }
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
