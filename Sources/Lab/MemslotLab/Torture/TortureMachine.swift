import CKVM
import Memslots
import Synchronization

/// A VM whose vCPUs use the region all the time.
protocol TortureMachine: AnyObject, Sendable {
    /// Carries the slot calls out.
    var backend: any MemslotBackend { get }
    /// What the guest uses.
    var region: TortureRegion { get }
    /// The slots that every array has beside those of the region.
    var fixedSlots: [Memslot] { get }
    /// What the vCPUs met.
    var counters: TortureCounters { get }

    /// Said by a vCPU's thread before its first turn.
    func begin(_ vcpu: Int)

    /// Lets a vCPU run until it leaves; on its thread.
    ///
    /// - Returns: whether it is to have another turn.
    func turn(_ vcpu: Int) -> Bool

    /// Ends a vCPU's turn soon, or its next one.
    func kick(_ vcpu: Int)

    /// Another number than before for each page of the region that was written since.
    func writes() -> [UInt64]

    /// How many rounds a vCPU has made.
    func rounds(of vcpu: Int) -> UInt32

    /// Makes each vCPU end with a whole round, soon. With all of them stopped.
    func endWithThisRound()

    /// How many increments are missing, or reads; after the vCPUs have ended.
    func lostIncrements() -> UInt64

    /// What a reader of the table may see from now on.
    func allow(_ arrays: [[Memslot]], of table: MemslotTable)
}

extension TortureMachine {
    func allow(_ arrays: [[Memslot]], of table: MemslotTable) {}
}

/// What vCPUs met that they should not have; counted by their threads.
final class TortureCounters: Sendable {
    private let exits = Atomic<UInt64>(0)
    private let failures = Atomic<UInt64>(0)

    /// Exits for an address that every array has memory at.
    var spuriousExits: UInt64 { exits.load(ordering: .sequentiallyConsistent) }
    /// Runs that ended because KVM could not go on.
    var emulationFailures: UInt64 { failures.load(ordering: .sequentiallyConsistent) }

    func countSpuriousExit() { exits.add(1, ordering: .relaxed) }
    func countEmulationFailure() { failures.add(1, ordering: .relaxed) }
}

/// Which processors the threads of a torture run on: the one that changes slots on the first, the
/// vCPUs on the others.
///
/// On one and the same, a transaction would mostly be over before the guest runs again, and
/// nothing of it could be seen. Where there is only one, all share it.
struct Processors {
    /// The processors that this thread may use, ascending.
    private let allowed: [Int]

    /// Words of a mask: enough for 8,192 processors, which is the most that Linux is built for.
    private static let words = 128

    init() {
        var mask = [UInt64](repeating: 0, count: Self.words)
        _ = ckvm_get_affinity(&mask, Self.words * 8)
        allowed = (0..<Self.words * 64).filter { mask[$0 / 64] >> ($0 % 64) & 1 == 1 }
    }

    /// Puts the calling thread on the first.
    func takeFirst() {
        if allowed.count > 1 { bind([allowed[0]]) }
    }

    /// Puts the calling thread on one of the others.
    func takeAnother(_ vcpu: Int) {
        if allowed.count > 1 { bind([allowed[1 + vcpu % (allowed.count - 1)]]) }
    }

    /// Lets the calling thread use all again.
    func giveBack() {
        if allowed.count > 1 { bind(allowed) }
    }

    private func bind(_ processors: [Int]) {
        var mask = [UInt64](repeating: 0, count: Self.words)
        for processor in processors { mask[processor / 64] |= 1 << (processor % 64) }
        // Refused, it is only less of a torture.
        _ = ckvm_set_affinity(&mask, Self.words * 8)
    }
}
