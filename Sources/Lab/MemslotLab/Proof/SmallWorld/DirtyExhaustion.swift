import MemslotTestKit
import Memslots

/// Commits pairs of small arrays with dirty pages in the kernel and in the table, and accounts for
/// every page afterwards.
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
            let calls = receipt.operations.map(\.call)
            let ledger = PageLedger(
                dirt, of: old, ended: calls.filter(\.endsLogging), begun: [], to: new,
                startsFull: false)
            report.dirtyPages += dirt.values.reduce(0) { $0 + $1.count }
            for (key, wanted) in ledger.logs {
                if try table.dirtyLog(of: key).bitmap != wanted {
                    report.record("slot \(key) reports other pages", old, new)
                }
            }
            let returned = receipt.unmappedDirtyPages.map { ($0.slot, $0.runs) }
            if Dictionary(uniqueKeysWithValues: returned) != ledger.returned {
                report.record("the receipt returns other pages", old, new)
            }
        } catch {
            report.record("\(error)", old, new)
        }
        if backend.slots != new { report.record("ends with other slots", old, new) }
        for fault in backend.faults { report.record(fault, old, new) }
    }
}
