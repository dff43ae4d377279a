import Memslots

/// Knows which pages the guest has certainly written since they were last told, and holds the
/// dirty logs to it.
///
/// A page is owed once its numbers differ from what they were after it had last been told or had
/// begun to log. It must then be told: by a log, for as long as a logging slot maps its host page,
/// else by the receipt of the transaction that ends that.
struct GuestWriteLedger {
    /// Owed pages that were not told.
    private(set) var lost: UInt64 = 0
    /// Pages that were owed, told or not.
    private(set) var owedInAll: UInt64 = 0
    private var baseline: [UInt64]
    private var isLogged: [Bool]
    private var owed: Set<UInt64> = []

    /// Begins with an array installed.
    ///
    /// - Parameter writes: ``TortureMachine/writes()`` afterwards.
    init(_ slots: [Memslot], writes: [UInt64]) {
        baseline = writes
        isLogged = Self.pagesLogged(by: slots)
    }

    /// Before a transaction: notes what the guest has written.
    mutating func see(_ writes: [UInt64]) {
        for page in baseline.indices where isLogged[page] && writes[page] != baseline[page] {
            owed.insert(UInt64(page))
        }
    }

    /// After a transaction: pages that no slot logs any more must be in its receipt.
    ///
    /// - Parameter writes: as they are after it.
    mutating func settle(_ receipt: Receipt, now slots: [Memslot], writes: [UInt64]) {
        let told = Set(receipt.unmappedDirtyPages.flatMap { Self.hostPages(of: $0) })
        let kept = Set(slots.filter(\.isLogging).flatMap { TortureRegion.hostPages(of: $0) })
        judge(owed.subtracting(kept), told: told)
        owed.formIntersection(kept)
        let logged = Self.pagesLogged(by: slots)
        for page in logged.indices where logged[page] && !isLogged[page] {
            baseline[page] = writes[page]
        }
        isLogged = logged
    }

    /// With all vCPUs stopped, the logs read and cleared: what is owed must be told.
    mutating func settle(_ logs: [DirtyPages], writes: [UInt64]) {
        see(writes)
        judge(owed, told: Set(logs.flatMap { Self.hostPages(of: $0) }))
        owed = []
        baseline = writes
    }

    private mutating func judge(_ pages: Set<UInt64>, told: Set<UInt64>) {
        owedInAll += UInt64(pages.count)
        lost += UInt64(pages.subtracting(told).count)
    }

    private static func hostPages(of dirty: DirtyPages) -> [UInt64] {
        let first = TortureRegion.hostPages(of: dirty.slot).lowerBound
        return dirty.runs.flatMap { run in run.map { first + $0 } }
    }

    /// Which pages are logged as the guest writes to them.
    private static func pagesLogged(by slots: [Memslot]) -> [Bool] {
        var logged = [Bool](repeating: false, count: Int(TortureRegion.pageCount))
        for slot in slots where slot.isLogging {
            for page in TortureRegion.usedPages(of: slot) { logged[Int(page)] = true }
        }
        return logged
    }
}
