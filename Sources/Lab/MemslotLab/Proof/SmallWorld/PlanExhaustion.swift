import Dispatch
import MemslotTestKit
import Memslots

/// Plans every pair of arrays of a small world, and judges each plan.
package struct PlanExhaustion: Sendable {
    /// What was visited.
    package struct Report: Sendable {
        /// Arrays of the world.
        package var arrays: UInt64 = 0
        /// Pairs of arrays that the visited ones stand for.
        package var pairs: UInt64 = 0
        /// Pairs that were planned and judged.
        package var planned = 0
        /// Those among them whose plan has more calls than there are differences, so that a shorter
        /// way was searched for.
        package var searched = 0
        /// What did not hold, the first few.
        package var findings: [String] = []
        /// How many did not hold.
        package var wrong = 0
    }

    private let ids: Int
    private let pages: UInt64

    /// A world of up to `ids` slots on `pages` pages, with two flags and two backings.
    package init(ids: Int, pages: UInt64) {
        self.ids = ids
        self.pages = pages
    }

    /// Visits all pairs; with `every`, one old array's layout in so many.
    package func visitAll(every: Int = 1) -> Report {
        let layouts = SmallLayout.all(ids: ids, pages: pages)
        let report = Locked(Report())
        report.withLock { $0.arrays = Self.arrayCount(layouts) }
        let olds = stride(from: 0, to: layouts.count, by: max(1, every)).map { layouts[$0] }
        DispatchQueue.concurrentPerform(iterations: olds.count) { index in
            var part = Report()
            for new in layouts { visit(olds[index], new, &part) }
            let done = part
            report.withLock { $0.add(done) }
        }
        return report.withLock { $0 }
    }

    /// Visits `count` pairs drawn from `seed`, each with flags and backings of its own: also what
    /// shows that the pairs of ``visitAll(every:)`` stand for the others.
    package func visitSample(_ count: Int, seed: UInt64) -> Report {
        let layouts = SmallLayout.all(ids: ids, pages: pages)
        var random = SeededRandom(seed: seed)
        var report = Report()
        report.arrays = Self.arrayCount(layouts)
        for _ in 0..<count {
            let (old, new) = (random.array(of: layouts), random.array(of: layouts))
            judge(old, new, &report)
            report.pairs += 1
        }
        return report
    }

    private static func arrayCount(_ layouts: [SmallLayout]) -> UInt64 {
        layouts.reduce(0) { $0 + UInt64(1) << (3 * UInt64($1.slotCount)) }
    }

    private func visit(_ old: SmallLayout, _ new: SmallLayout, _ report: inout Report) {
        let kinds = zip(old.runs, new.runs).map { KindPair.standing(for: $0.0, $0.1) }
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
            judge(arrays.old, arrays.new, &report)
        }
    }

    /// Legal at each step, right at the end, and no way is shorter.
    private func judge(_ old: [Memslot], _ new: [Memslot], _ report: inout Report) {
        report.planned += 1
        let plan = Plan(MemslotDiff(from: old, to: new))
        var kernel = SmallKernel(old, ids: ids)
        for (index, operation) in plan.operations.enumerated() {
            if let fault = kernel.apply(operation.call) {
                report.note("call \(index): \(fault)", old, new)
                return
            }
        }
        if kernel.array != new { report.note("ends with other slots", old, new) }
        let ways = FewestCalls(
            from: SmallKernel(old, ids: ids), to: SmallKernel(new, ids: ids), pages: pages)
        if plan.operations.count > ways.leastCalls {
            report.searched += 1
            if ways.exists(within: plan.operations.count - 1) {
                report.note("\(plan.operations.count) calls are too many", old, new)
            }
        }
        if !plan.isOptimal { report.note("not told to be optimal", old, new) }
    }
}

extension PlanExhaustion.Report {
    fileprivate mutating func note(_ text: String, _ old: [Memslot], _ new: [Memslot]) {
        wrong += 1
        if findings.count < 20 { findings.append("\(text): \(old) to \(new)") }
    }

    fileprivate mutating func add(_ other: PlanExhaustion.Report) {
        pairs += other.pairs
        planned += other.planned
        searched += other.searched
        wrong += other.wrong
        findings = Array((findings + other.findings).prefix(20))
    }
}
