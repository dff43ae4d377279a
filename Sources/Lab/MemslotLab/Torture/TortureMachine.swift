import CKVM
import Memslots

/// A VM whose vCPUs access the region all the time.
protocol TortureMachine: AnyObject, Sendable {
    var backend: any MemslotBackend { get }
    /// One of each address space.
    var regions: [TortureRegion] { get }
    /// The slots that an array has in addition to the regions'. In two address spaces a tag, above the last.
    func otherSlots() -> [Memslot]
    /// Faults that vCPUs observed, counted by their threads.
    var counts: Locked<Tally<TortureReport.Count>> { get }
    /// The descriptor of the file behind the region.
    var regionFile: Int32 { get }

    /// Called on a vCPU's thread before its first turn.
    func begin(_ vcpu: Int)

    /// Runs a vCPU until it exits. Called on its thread. Returns whether it needs another turn.
    func turn(_ vcpu: Int) -> Bool

    /// Ends the current turn of a vCPU soon, or its next one.
    func kick(_ vcpu: Int)

    /// A number for each page of each region, which differs after each write in its address space.
    func writes() -> [UInt64]

    func rounds(of vcpu: Int) -> UInt32

    /// Makes each vCPU end soon, after a whole round. Call while all are paused.
    func endWithThisRound()

    /// The number of missing increments or reads. Call after the vCPUs have ended.
    func lostIncrements() -> UInt64

    /// Updates what only this machine counts.
    func observe(_ report: inout TortureReport)

    /// A witness's tickets: before the last access with memory, after the first without, or 0.
    func tickets(of vcpu: Int) -> (lastFound: UInt32, firstMissing: UInt32)

    /// Sets the second ticket to 0.
    func forgetMissing(_ vcpu: Int)

    /// Sets the arrays that a reader of the table may see from now on.
    func allow(_ arrays: [[Memslot]], of table: MemslotTable)
}

extension TortureMachine {
    var regionFile: Int32 { -1 }
    func otherSlots() -> [Memslot] { [] }
    func observe(_ report: inout TortureReport) {}
    func tickets(of vcpu: Int) -> (lastFound: UInt32, firstMissing: UInt32) { (0, 0) }
    func forgetMissing(_ vcpu: Int) {}
    func allow(_ arrays: [[Memslot]], of table: MemslotTable) {}
    func count(_ fault: TortureReport.Count) { counts.withLock { $0[fault] += 1 } }
    var faults: Tally<TortureReport.Count> { counts.withLock { $0 } }
}

/// Binds threads to processors: what changes slots to the first, vCPUs to the others, if there are.
/// On the same one, most transactions would end before the guest runs again.
package struct Processors: Sendable {
    /// The processors that this thread may use, ascending.
    private let allowed: [Int]

    /// Words of a mask: 8,192 processors, the most that Linux supports.
    private static let words = 128

    package init() {
        var mask = [UInt64](repeating: 0, count: Self.words)
        _ = ckvm_get_affinity(&mask, Self.words * 8)
        allowed = (0..<Self.words * 64).filter { mask[$0 / 64] >> ($0 % 64) & 1 == 1 }
    }

    /// Binds the calling thread, and processes that it starts, to one of those it may use.
    package func bind(to number: Int) { bind([allowed[number % allowed.count]]) }

    func bindToAnother(_ vcpu: Int) { bind([allowed[1 + vcpu % (allowed.count - 1)]]) }
    package func unbind() { bind(allowed) }

    private func bind(_ processors: @autoclosure () -> [Int]) {
        guard allowed.count > 1 else { return }
        var mask = [UInt64](repeating: 0, count: Self.words)
        for processor in processors() { mask[processor / 64] |= 1 << (processor % 64) }
        // A failure only makes a torture less effective, and figures less steady.
        _ = ckvm_set_affinity(&mask, Self.words * 8)
    }
}
