import Memslots

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
