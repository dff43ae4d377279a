import Dispatch
import MemslotTestKit
import Memslots

/// Carries pairs of small arrays out as transactions, with dirty pages in the kernel and in the
/// table's keeping, and accounts for every page afterwards.
package struct DirtyExhaustion: Sendable {
    /// What was visited.
    package struct Report: Sendable {
        /// Transactions.
        package var pairs = 0
        /// Dirty pages that were accounted for.
        package var dirtyPages: UInt64 = 0
        /// What did not hold, the first few.
        package var findings: [String] = []
        /// How many did not hold.
        package var wrong = 0
    }

    private let ids: Int
    private let pages: UInt64

    /// A world of up to `ids` slots on `pages` pages.
    package init(ids: Int, pages: UInt64) {
        self.ids = ids
        self.pages = pages
    }

    /// Visits all pairs of arrays that log or not, on two backings that overlap.
    package func visitAll(seed: UInt64) -> Report {
        let arrays = SmallLayout.all(ids: ids, pages: pages).flatMap { Self.arrays($0) }
        let report = Locked(Report())
        DispatchQueue.concurrentPerform(iterations: arrays.count) { index in
            var random = SeededRandom(seed: seed &+ UInt64(index) &* 0x1_0000_0001)
            var part = Report()
            for new in arrays { visit(arrays[index], new, &random, &part) }
            let done = part
            report.withLock { $0.add(done) }
        }
        return report.withLock { $0 }
    }

    /// Visits `count` pairs drawn from `seed`, with both flags and both backings.
    package func visitSample(_ count: Int, seed: UInt64) -> Report {
        let layouts = SmallLayout.all(ids: ids, pages: pages)
        var random = SeededRandom(seed: seed)
        var report = Report()
        for _ in 0..<count {
            let (old, new) = (random.array(of: layouts), random.array(of: layouts))
            visit(old, new, &random, &report)
        }
        return report
    }

    private static func arrays(_ layout: SmallLayout) -> [[Memslot]] {
        let kinds = SmallKind.all.filter { !$0.isReadOnly }
        var arrays: [[Memslot]] = [[]]
        for (id, run) in layout.runs.enumerated() {
            guard let run else { continue }
            arrays = arrays.flatMap { array in kinds.map { array + [$0.slot(id, run)] } }
        }
        return arrays
    }

    private func visit(
        _ old: [Memslot], _ new: [Memslot], _ random: inout SeededRandom, _ report: inout Report
    ) {
        report.pairs += 1
        let backend = SmallBackend(old, ids: ids)
        var dirt: [SlotKey: DirtyBitmap] = [:]
        do {
            let table = try MemslotTable(backend: backend, installed: old)
            for slot in old where slot.isLogging {
                let all: UInt64 = (1 << slot.pageCount) - 1
                let (kept, known) = (random.next() & all, random.next() & all)
                backend.write(kept, of: Int(slot.assignedID.rawValue))
                _ = try table.dirtyLog(of: slot)
                backend.write(known, of: Int(slot.assignedID.rawValue))
                dirt[slot.assignedKey] = DirtyBitmap(
                    pageCount: slot.pageCount, words: [kept | known])
            }
            let receipt = try table.submit(new)
            let calls = receipt.operations.map(\.call)
            let ledger = PageLedger(
                dirt, of: old, ended: calls.filter(\.endsLogging), begun: [], to: new,
                startsFull: false)
            report.dirtyPages += dirt.values.reduce(0) { $0 + $1.count }
            for (key, wanted) in ledger.told {
                if try table.dirtyLog(of: key).bitmap != wanted {
                    report.note("slot \(key) tells other pages", old, new)
                }
            }
            let handedBack = receipt.unmappedDirtyPages.map { ($0.slot, $0.runs) }
            if Dictionary(uniqueKeysWithValues: handedBack) != ledger.handedBack {
                report.note("other pages are handed back", old, new)
            }
        } catch {
            report.note("\(error)", old, new)
        }
        if backend.slots != new { report.note("ends with other slots", old, new) }
        for fault in backend.faults { report.note(fault, old, new) }
    }
}

extension DirtyExhaustion.Report {
    fileprivate mutating func note(_ text: String, _ old: [Memslot], _ new: [Memslot]) {
        wrong += 1
        if findings.count < 20 { findings.append("\(text): \(old) to \(new)") }
    }

    fileprivate mutating func add(_ other: DirtyExhaustion.Report) {
        pairs += other.pairs
        dirtyPages += other.dirtyPages
        wrong += other.wrong
        findings = Array((findings + other.findings).prefix(20))
    }
}
