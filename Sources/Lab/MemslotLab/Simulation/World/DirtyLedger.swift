import Memslots

/// What the guest has written, by slot: a model of who owes which dirty bits.
///
/// Written apart from the product, page by page: a write belongs to the log of the slot that it
/// went through, until that is read and cleared. A log that ends gives its bits to every logging
/// slot of the new array that maps the same host page, or to the receipt.
struct DirtyLedger {
    /// What makes a log the same: the slot and its memory, wherever the guest sees it.
    private struct Log: Hashable {
        let key: SlotKey
        let host: UInt64
        let pages: UInt64

        init(_ slot: Memslot) {
            key = slot.assignedKey
            host = slot.userspaceAddress.rawValue / 4096
            pages = slot.pageCount
        }
    }

    private struct Ended {
        let slot: Memslot
        let pages: Set<UInt64>
    }

    private let startsFull: Bool
    private var owed: [Log: Set<UInt64>] = [:]
    private var ended: [Ended] = []
    private var undone: [Ended] = []
    /// Host pages that may be told dirty and need not be.
    private var doubtful: Set<UInt64> = []

    init(startsFull: Bool) { self.startsFull = startsFull }

    /// The guest wrote page `page` of `slot`, which logs.
    mutating func write(_ slot: Memslot, page: UInt64) {
        owed[Log(slot), default: []].insert(page)
    }

    /// The log of `slot` ended with a call.
    ///
    /// - Parameter isExact: whether vCPUs were held out, so that no write can fall in between.
    mutating func logEnds(of slot: Memslot, isUndone: Bool, isExact: Bool) {
        guard let pages = owed.removeValue(forKey: Log(slot)) else { return }
        if !isUndone {
            ended.append(Ended(slot: slot, pages: pages))
        } else if isExact {
            undone.append(Ended(slot: slot, pages: pages))
        } else {
            doubtful.formUnion(pages.map { Log(slot).host + $0 })
        }
    }

    /// A transaction was committed.
    ///
    /// - Returns: what is wrong with the pages that the receipt hands out; `nil` if nothing is.
    mutating func committed(_ receipt: Receipt, _ array: [Memslot]) -> String? {
        var expected: [Memslot: Set<UInt64>] = [:]
        for item in ended {
            for page in give(item, to: array) where !isDoubtful(item.slot, page) {
                expected[item.slot, default: []].insert(page)
            }
        }
        ended = []
        var told: [Memslot: Set<UInt64>] = [:]
        for pages in receipt.unmappedDirtyPages {
            let all = pages.runs.flatMap { Array($0) }
            told[pages.slot, default: []].formUnion(all.filter { !isDoubtful(pages.slot, $0) })
        }
        told = told.filter { !$0.value.isEmpty }
        for (slot, pages) in expected where !pages.isSubset(of: told[slot] ?? []) {
            return
                "slot \(slot.assignedKey) owed pages \(pages.sorted()), and the receipt hands out "
                + "\((told[slot] ?? []).sorted())"
        }
        if startsFull || told == expected { return nil }
        return "the receipt hands out pages that nobody wrote: \(told), not \(expected)"
    }

    /// A transaction was undone; `array` stays.
    mutating func rolledBack(to array: [Memslot]) {
        for item in ended { owed[Log(item.slot), default: []].formUnion(item.pages) }
        for item in undone { _ = give(item, to: array) }
        (ended, undone) = ([], [])
    }

    /// Undoing failed; the table keeps what it has of `array`'s bits.
    mutating func failed(with array: [Memslot]) { rolledBack(to: array) }

    /// A failed table has `array` again, or a recovery that failed has read logs on the way.
    mutating func recovered(to array: [Memslot]) {
        let present = Set(array.filter(\.isLogging).map(Log.init))
        for item in ended + undone {
            // A bit that the table kept and the machine had too goes to aliases; one that only
            // the table kept doesn't.
            if present.contains(Log(item.slot)) {
                owed[Log(item.slot), default: []].formUnion(item.pages)
                doubtful.formUnion(item.pages.map { Log(item.slot).host + $0 })
            } else {
                _ = give(item, to: array)
            }
        }
        (ended, undone) = ([], [])
        for (log, pages) in owed where !present.contains(log) {
            owed[log] = nil
            doubtful.formUnion(pages.map { log.host + $0 })
        }
    }

    /// Holds an answer against what is owed.
    ///
    /// - Returns: what is wrong; `nil` if nothing is.
    func fault(of bitmap: DirtyBitmap, for slot: Memslot, in pages: Range<UInt64>) -> String? {
        let owed = (owed[Log(slot)] ?? []).filter { pages.contains($0) }
        let told = Set(bitmap.runs.flatMap { Array($0) })
        let lost = owed.subtracting(told)
        if !lost.isEmpty { return "slot \(slot.assignedKey) lost pages \(lost.sorted())" }
        let invented = told.subtracting(owed).filter { !isDoubtful(slot, $0) }
        if startsFull || invented.isEmpty { return nil }
        return "slot \(slot.assignedKey) tells pages \(invented.sorted()), which nobody wrote"
    }

    /// `pages` of `slot` were told and cleared.
    mutating func cleared(_ slot: Memslot, _ pages: Range<UInt64>) {
        owed[Log(slot)]?.subtract(pages)
    }

    private func isDoubtful(_ slot: Memslot, _ page: UInt64) -> Bool {
        doubtful.contains(Log(slot).host + page)
    }

    /// Gives bits to every logging slot that maps their host pages.
    ///
    /// - Returns: the pages that no such slot maps.
    private mutating func give(_ item: Ended, to array: [Memslot]) -> [UInt64] {
        var left: [UInt64] = []
        for page in item.pages {
            let host = Log(item.slot).host + page
            let takers = array.filter {
                $0.isLogging && host >= Log($0).host && host < Log($0).host + $0.pageCount
            }
            for slot in takers { owed[Log(slot), default: []].insert(host - Log(slot).host) }
            if takers.isEmpty { left.append(page) }
        }
        return left
    }
}
