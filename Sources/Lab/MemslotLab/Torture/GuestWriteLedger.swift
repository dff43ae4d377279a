import Memslots

/// Records the pages that the guest has certainly written, and compares dirty logs with them.
///
/// A page is owed once its numbers differ from those when it was last reported or began to log. It
/// must then be reported by a log, as long as a logging slot maps its host page, or else by the
/// receipt of the transaction that ends that.
struct GuestWriteLedger {
    /// Owed pages that were not reported.
    private(set) var lost: UInt64 = 0
    /// All owed pages, reported or not.
    private(set) var owedInAll: UInt64 = 0
    private var baseline: [UInt64]
    private var isLogged: [Bool]
    private var owed: Set<UInt64> = []

    /// A ledger for an array that is installed.
    ///
    /// - Parameter writes: ``TortureMachine/writes()`` afterwards.
    init(_ slots: [Memslot], writes: [UInt64]) {
        baseline = writes
        isLogged = Self.pagesLogged(by: slots)
    }

    /// Records the guest's writes before a transaction.
    mutating func observe(_ writes: [UInt64]) {
        for page in baseline.indices where isLogged[page] && writes[page] != baseline[page] {
            owed.insert(UInt64(page))
        }
    }

    /// Checks a transaction: pages that no slot logs any more must be in its receipt.
    ///
    /// - Parameter writes: ``TortureMachine/writes()`` afterwards.
    mutating func settle(_ receipt: Receipt, now slots: [Memslot], writes: [UInt64]) {
        let reported = Set(receipt.unmappedDirtyPages.flatMap { Self.hostPages(of: $0) })
        let kept = Set(slots.filter(\.isLogging).flatMap { $0.hostPages })
        compare(owed.subtracting(kept), reported: reported)
        owed.formIntersection(kept)
        let logged = Self.pagesLogged(by: slots)
        for page in logged.indices where logged[page] && !isLogged[page] {
            baseline[page] = writes[page]
        }
        isLogged = logged
    }

    /// Checks that cleared logs report all owed pages. Call while all vCPUs are paused.
    mutating func settle(_ logs: [DirtyPages], writes: [UInt64]) {
        observe(writes)
        compare(owed, reported: Set(logs.flatMap { Self.hostPages(of: $0) }))
        owed = []
        baseline = writes
    }

    private mutating func compare(_ pages: Set<UInt64>, reported: Set<UInt64>) {
        owedInAll += UInt64(pages.count)
        lost += UInt64(pages.subtracting(reported).count)
    }

    private static func hostPages(of dirty: DirtyPages) -> [UInt64] {
        let first = dirty.slot.hostPages.lowerBound
        return dirty.runs.flatMap { run in run.map { first + $0 } }
    }

    /// Whether the guest's writes to each page are logged.
    private static func pagesLogged(by slots: [Memslot]) -> [Bool] {
        var logged = [Bool](repeating: false, count: Int(TortureRegion.pageCount))
        for slot in slots where slot.isLogging {
            for page in TortureRegion.usedPages(of: slot) { logged[Int(page)] = true }
        }
        return logged
    }
}
