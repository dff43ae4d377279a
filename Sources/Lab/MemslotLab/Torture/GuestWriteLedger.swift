import Memslots

/// Records the pages that the guest has certainly written, and compares dirty logs with them. A
/// page is owed once its numbers differ from those when it was last reported or began to log. It
/// must then be reported by a log, as long as a logging slot maps its host page, or else by the
/// receipt of the transaction that ends that.
struct GuestWriteLedger {
    /// Owed pages that were not reported.
    private(set) var lost: UInt64 = 0
    /// All owed pages, reported or not.
    private(set) var owedInAll: UInt64 = 0
    private let regions: [TortureRegion]
    // Of each region, by its page.
    private var baseline: [UInt64]
    private var isLogged: [Bool] = []
    private var owed: Set<Int> = []

    /// A ledger for an array that is installed, with the machine's writes afterwards.
    init(_ slots: [Memslot], of regions: [TortureRegion], writes: [UInt64]) {
        self.regions = regions
        baseline = writes
        isLogged = pagesLogged(by: slots)
    }

    /// Records the guest's writes before a transaction.
    mutating func observe(_ writes: [UInt64]) {
        for page in baseline.indices where isLogged[page] && writes[page] != baseline[page] {
            owed.insert(page)
        }
    }

    /// Checks that the receipt has the pages that no slot logs any more. `writes`: afterwards.
    mutating func settle(_ receipt: Receipt, now slots: [Memslot], writes: [UInt64]) {
        let reported = Set(receipt.unmappedDirtyPages.flatMap { Self.hostPages(of: $0) })
        let logging = slots.filter(\.isLogging)
        let ended = owed.filter { page in
            !logging.contains { $0.hostPages.contains(hostPage(page)) }
        }
        compare(ended, reported: reported)
        owed.subtract(ended)
        let logged = pagesLogged(by: slots)
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

    private mutating func compare(_ pages: Set<Int>, reported: Set<UInt64>) {
        owedInAll += UInt64(pages.count)
        lost += UInt64(pages.count { !reported.contains(hostPage($0)) })
    }

    private func hostPage(_ page: Int) -> UInt64 {
        let (region, page) = page.quotientAndRemainder(dividingBy: Int(TortureRegion.pageCount))
        return regions[region].hostPage(UInt64(page))
    }

    private static func hostPages(of dirty: DirtyPages) -> [UInt64] {
        let first = dirty.slot.hostPages.lowerBound
        return dirty.runs.flatMap { run in run.map { first + $0 } }
    }

    /// Whether the guest's writes to each page are logged.
    private func pagesLogged(by slots: [Memslot]) -> [Bool] {
        regions.flatMap { region in
            let pages = Set(slots.filter(\.isLogging).flatMap { region.usedPages(of: $0) })
            return (0..<TortureRegion.pageCount).map { pages.contains($0) }
        }
    }
}
