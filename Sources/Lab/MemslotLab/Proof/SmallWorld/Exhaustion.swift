import Dispatch
import MemslotTestKit
import Memslots

package struct ExhaustionReport: Sendable {
    package var arrays: UInt64 = 0
    /// Pairs of arrays, including those that a visited pair represents.
    package var pairs: UInt64 = 0
    package var planned = 0
    /// Planned pairs with more operations than changes, for which a shorter way was searched.
    package var searched = 0
    /// Dirty pages that were accounted for.
    package var dirtyPages: UInt64 = 0
    /// What did not hold, the first few.
    package var findings: [String] = []
    package var wrong = 0

    private static let mostFindings = 20

    /// Visits `count` items on several threads and adds up their reports.
    static func collect(
        _ count: Int, _ visit: @Sendable (Int, inout ExhaustionReport) -> Void
    ) -> ExhaustionReport {
        let report = Locked(ExhaustionReport())
        DispatchQueue.concurrentPerform(iterations: count) { index in
            var part = ExhaustionReport()
            visit(index, &part)
            let done = part
            report.withLock { $0.add(done) }
        }
        return report.withLock { $0 }
    }

    mutating func record(_ text: String, _ old: [Memslot], _ new: [Memslot]) {
        wrong += 1
        if findings.count < Self.mostFindings { findings.append("\(text): \(old) to \(new)") }
    }

    private mutating func add(_ other: ExhaustionReport) {
        pairs += other.pairs
        planned += other.planned
        searched += other.searched
        dirtyPages += other.dirtyPages
        wrong += other.wrong
        findings = Array((findings + other.findings).prefix(Self.mostFindings))
    }
}

/// The arrays of a few slots on a few pages, each pair of which is planned or committed.
package struct SmallWorld: Sendable {
    let ids: Int
    private let pages: UInt64

    /// A world of up to `ids` slots on `pages` pages, with two flags and two backings.
    package init(ids: Int, pages: UInt64) { (self.ids, self.pages) = (ids, pages) }

    var layouts: [SmallLayout] { SmallLayout.all(ids: ids, pages: pages) }

    /// Calls `visit` with `count` pairs drawn from `seed`.
    func sample(
        _ count: Int, seed: UInt64,
        _ visit: ([Memslot], [Memslot], inout SeededRandom, inout ExhaustionReport) -> Void
    ) -> ExhaustionReport {
        let layouts = layouts
        var random = SeededRandom(seed: seed)
        var report = ExhaustionReport(arrays: Self.arrayCount(layouts))
        for _ in 0..<count {
            let (old, new) = (random.array(of: layouts), random.array(of: layouts))
            visit(old, new, &random, &report)
            report.pairs += 1
        }
        return report
    }

    /// Plans all pairs and checks each plan; with `every`, one layout in so many as the old array.
    package func planAll(every: Int = 1) -> ExhaustionReport {
        let layouts = layouts
        let olds = stride(from: 0, to: layouts.count, by: max(1, every)).map { layouts[$0] }
        var report = ExhaustionReport.collect(olds.count) { index, part in
            for new in layouts { visit(olds[index], new, &part) }
        }
        report.arrays = Self.arrayCount(layouts)
        return report
    }

    /// Draws pairs with any flags and backings: those of ``planAll(every:)`` must represent them.
    package func planSample(_ count: Int, seed: UInt64) -> ExhaustionReport {
        sample(count, seed: seed) { old, new, _, report in check(old, new, &report) }
    }

    private static func arrayCount(_ layouts: [SmallLayout]) -> UInt64 {
        layouts.reduce(0) { $0 + UInt64(1) << (3 * UInt64($1.slotCount)) }
    }

    private func visit(_ old: SmallLayout, _ new: SmallLayout, _ report: inout ExhaustionReport) {
        let kinds = zip(old.runs, new.runs).map { KindPair.representing($0.0, $0.1) }
        let combinations = kinds.reduce(1) { $0 * $1.count }
        for number in 0..<combinations {
            var rest = number
            var weight: UInt64 = 1
            var arrays: (old: [Memslot], new: [Memslot]) = ([], [])
            for id in 0..<ids {
                let kind = kinds[id][rest % kinds[id].count]
                rest /= kinds[id].count
                weight *= kind.weight
                if let run = old.runs[id] { arrays.old.append(kind.old.slot(id, run)) }
                if let run = new.runs[id] { arrays.new.append(kind.new.slot(id, run)) }
            }
            report.pairs += weight
            check(arrays.old, arrays.new, &report)
        }
    }

    /// Checks that each operation is legal, the result is the new array, and no plan is shorter.
    private func check(_ old: [Memslot], _ new: [Memslot], _ report: inout ExhaustionReport) {
        report.planned += 1
        let plan = Plan(MemslotDiff(from: old, to: new))
        var kernel = SmallKernel(old, ids: ids)
        for (index, operation) in plan.operations.enumerated() {
            if let fault = kernel.apply(operation.call) {
                return report.record("operation \(index): \(fault)", old, new)
            }
        }
        if kernel.array != new { report.record("ends with other slots", old, new) }
        let shortest = FewestOperations(
            from: SmallKernel(old, ids: ids), to: SmallKernel(new, ids: ids), pages: pages)
        if plan.operations.count > shortest.lowerBound {
            report.searched += 1
            if shortest.exists(within: plan.operations.count - 1) {
                report.record("\(plan.operations.count) operations are too many", old, new)
            }
        }
        if !plan.isOptimal { report.record("not marked as optimal", old, new) }
    }
}

/// Commits pairs of small arrays with dirty pages, and accounts for every page afterwards.
extension SmallWorld {
    /// Commits all pairs of arrays with and without logging, on two backings that overlap.
    package func commitAll(seed: UInt64) -> ExhaustionReport {
        let arrays = layouts.flatMap { Self.arrays($0) }
        return .collect(arrays.count) { index, part in
            var random = SeededRandom(seed: seed &+ UInt64(index) &* 0x1_0000_0001)
            for new in arrays { commit(arrays[index], new, &random, &part) }
            part.pairs += UInt64(arrays.count)
        }
    }

    /// Commits `count` pairs drawn from `seed`, with both flags and both backings.
    package func commitSample(_ count: Int, seed: UInt64) -> ExhaustionReport {
        sample(count, seed: seed, commit)
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

    private func commit(
        _ old: [Memslot], _ new: [Memslot], _ random: inout SeededRandom,
        _ report: inout ExhaustionReport
    ) {
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
            let ledger = PageLedger(
                dirt, of: old, receipt.operations.map(\.call), to: new, startsFull: false)
            report.dirtyPages += dirt.values.reduce(0) { $0 + $1.count }
            for (key, wanted) in ledger.logs {
                if try table.dirtyLog(of: key).bitmap != wanted {
                    report.record("slot \(key) reports other pages", old, new)
                }
            }
            if !ledger.isReturned(by: receipt) {
                report.record("the receipt returns other pages", old, new)
            }
        } catch { report.record("\(error)", old, new) }
        if backend.slots != new { report.record("ends with other slots", old, new) }
        for fault in backend.faults { report.record(fault, old, new) }
    }
}
