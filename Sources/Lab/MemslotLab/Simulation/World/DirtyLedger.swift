import Memslots

/// The pages that each dirty log must contain: a model independent of the product. A write belongs
/// to the log of its slot until the log is cleared. When a log ends, its bits are carried to every
/// logging slot of the new array that maps the same host page, or to the receipt.
struct DirtyLedger {
    /// The identity of a log: the slot and its memory, at any guest address.
    private struct Log: Hashable {
        let key: SlotKey
        let host, pages: UInt64

        init(_ slot: Memslot) {
            key = slot.assignedKey
            host = slot.hostPages.lowerBound
            pages = slot.pageCount
        }
    }

    private struct Ended {
        let slot: Memslot
        let pages: Set<UInt64>
        /// What the guest wrote before the slot had its log again.
        var meanwhile: Set<UInt64> = []
    }

    private let startsFull: Bool
    private var owed: [Log: Set<UInt64>] = [:]
    private var ended: [Ended] = []
    private var undone: [Ended] = []
    /// The slots whose logs had ended when the guest of a failed table was released.
    private var unlogged: [Memslot] = []
    /// Host pages that may be reported as dirty, or not.
    private var doubtful: Set<UInt64> = []

    init(startsFull: Bool) { self.startsFull = startsFull }

    /// The guest wrote page `page` of `slot`, one of the slots that are `installed`.
    mutating func write(_ slot: Memslot, page: UInt64, installed: [Memslot]) {
        let host = Log(slot).host + page
        // The event of a rollback comes after vCPUs go on, with all logs as before.
        for index in ended.indices where !installed.contains(ended[index].slot) {
            let pages = ended[index].slot.hostPages
            if pages.contains(host) { ended[index].meanwhile.insert(host - pages.lowerBound) }
        }
        for other in unlogged where other.hostPages.contains(host) {
            owed[Log(other), default: []].insert(host - Log(other).host)
        }
        if slot.isLogging { owed[Log(slot), default: []].insert(page) }
    }

    /// An operation ended a log. `isExact`: vCPUs were held, so that no write could be missed.
    mutating func logEnds(of slot: Memslot, isUndone: Bool, isExact: Bool) {
        // Also without a page: the guest may write before it has its log again.
        let pages = owed.removeValue(forKey: Log(slot)) ?? []
        if !isUndone {
            ended.append(Ended(slot: slot, pages: pages))
        } else if isExact {
            undone.append(Ended(slot: slot, pages: pages))
        } else {
            doubtful.formUnion(pages.map { Log(slot).host + $0 })
        }
    }

    /// A transaction was committed. Returns what is wrong with the pages in the receipt.
    mutating func committed(_ receipt: Receipt, _ array: [Memslot]) -> String? {
        var expected: [Memslot: Set<UInt64>] = [:]
        for item in ended {
            for page in carry(item, to: array) where !isDoubtful(item.slot, page) {
                expected[item.slot, default: []].insert(page)
            }
        }
        ended = []
        var returned: [Memslot: Set<UInt64>] = [:]
        for pages in receipt.unmappedDirtyPages {
            let all = pages.runs.flatMap { Array($0) }
            returned[pages.slot, default: []].formUnion(all.filter { !isDoubtful(pages.slot, $0) })
        }
        returned = returned.filter { !$0.value.isEmpty }
        for (slot, pages) in expected where !pages.isSubset(of: returned[slot] ?? []) {
            return
                "the receipt must return pages \(pages.sorted()) of slot \(slot.assignedKey), but "
                + "returns \((returned[slot] ?? []).sorted())"
        }
        if startsFull || returned == expected { return nil }
        return
            "the receipt returns pages that the guest did not write: \(returned), not \(expected)"
    }

    /// Rolled back, or failed. `mayReportAll`: the guest was let in after logs had ended.
    mutating func rolledBack(to array: [Memslot], mayReportAll: Bool) {
        for item in ended {
            // If the guest ran without the log, every page may be reported, and those it wrote are.
            owed[Log(item.slot), default: []].formUnion(item.pages.union(item.meanwhile))
            if mayReportAll || !item.meanwhile.isEmpty { doubtful.formUnion(item.slot.hostPages) }
        }
        for item in undone { _ = carry(item, to: array) }
        (ended, undone) = ([], [])
    }

    /// The guest of a failed table was released without the logs of these slots: all pages of them
    /// may be reported after the recovery, and those that it writes until then are.
    mutating func released(without slots: [Memslot]) {
        unlogged += slots
        for slot in slots { doubtful.formUnion(slot.hostPages) }
    }

    /// A failed table was recovered to `array`, or a recovery failed after reading logs.
    mutating func recovered(to array: [Memslot], isComplete: Bool) {
        if isComplete { unlogged = [] }
        let present = Set(array.filter(\.isLogging).map(Log.init))
        for item in ended + undone {
            // A bit that the kernel has too is carried to aliases; one in the table alone is not.
            if present.contains(Log(item.slot)) {
                owed[Log(item.slot), default: []].formUnion(item.pages)
                doubtful.formUnion(item.pages.map { Log(item.slot).host + $0 })
            } else {
                _ = carry(item, to: array)
            }
        }
        (ended, undone) = ([], [])
        for (log, pages) in owed where !present.contains(log) {
            owed[log] = nil
            doubtful.formUnion(pages.map { log.host + $0 })
        }
    }

    /// Returns what is wrong with a log; `nil` if nothing is.
    func fault(of bitmap: DirtyBitmap, for slot: Memslot, in pages: Range<UInt64>) -> String? {
        let owed = (owed[Log(slot)] ?? []).filter { pages.contains($0) }
        let reported = Set(bitmap.runs.flatMap { Array($0) })
        let lost = owed.subtracting(reported)
        if !lost.isEmpty { return "slot \(slot.assignedKey) lost pages \(lost.sorted())" }
        let invented = reported.subtracting(owed).filter { !isDoubtful(slot, $0) }
        if startsFull || invented.isEmpty { return nil }
        return
            "slot \(slot.assignedKey) reports pages \(invented.sorted()), which the guest did not write"
    }

    /// `pages` of the log of `slot` were read and cleared.
    mutating func cleared(_ slot: Memslot, _ pages: Range<UInt64>) {
        owed[Log(slot)]?.subtract(pages)
    }

    private func isDoubtful(_ slot: Memslot, _ page: UInt64) -> Bool {
        doubtful.contains(Log(slot).host + page)
    }

    /// Carries bits to the logging slots with their host pages. Returns the pages that none maps.
    private mutating func carry(_ item: Ended, to array: [Memslot]) -> [UInt64] {
        var left: [UInt64] = []
        for page in item.pages {
            let host = Log(item.slot).host + page
            let aliases = array.filter { $0.isLogging && $0.hostPages.contains(host) }
            for slot in aliases { owed[Log(slot), default: []].insert(host - Log(slot).host) }
            if aliases.isEmpty { left.append(page) }
        }
        return left
    }
}
