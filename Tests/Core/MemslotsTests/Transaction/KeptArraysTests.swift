import Testing

@testable import Memslots

@Suite("former arrays, by the receipts that are kept")
struct KeptArraysTests {
    /// A table after random transactions, and all its arrays by generation.
    private func grown(
        keeping limit: Int, seed: UInt64
    ) throws -> (table: MemslotTable, arrays: [[Memslot]]) {
        var random = RandomArrays(seed: seed)
        let table = try MemslotTable(
            backend: ModelBackend(), limits: TableLimits(receipts: limit))
        var arrays = [table.snapshot().array.slots]
        while arrays.count < 60 {
            let near = random.near(arrays[arrays.count - 1])
            let slots = near.isEmpty ? random.next() : near
            if try table.submit(slots).outcome == .committed {
                arrays.append(table.snapshot().array.slots)
            }
        }
        return (table, arrays)
    }

    private func kept(_ table: MemslotTable) -> KeptArrays {
        let present = table.snapshot()
        return KeptArrays(present.array, present.generation, history: table.history())
    }

    @Test("every array is found again, back to the first whose successors are kept")
    func walk() throws {
        for (limit, oldest) in [(1_024, 0), (20, 39), (1, 58), (0, 59)] {
            let (table, arrays) = try grown(keeping: limit, seed: UInt64(limit))
            let kept = kept(table)
            #expect(kept.oldest == Generation(UInt64(oldest)))
            for (generation, array) in arrays.enumerated() {
                let slots = kept.slots(at: Generation(UInt64(generation)))
                #expect(slots == (generation < oldest ? nil : array), "\(limit) \(generation)")
            }
            #expect(kept.slots(at: Generation(60)) == nil)
            #expect(kept.slots(at: Generation(.max)) == nil)
        }
    }

    @Test("receipts of later generations than the array are not undone")
    func later() throws {
        let (table, arrays) = try grown(keeping: 1_024, seed: 5)
        let present = table.snapshot()
        try table.submit([])
        let kept = KeptArrays(present.array, present.generation, history: table.history())
        #expect(kept.slots(at: Generation(59)) == arrays[59])
        #expect(kept.slots(at: Generation(7)) == arrays[7])
        #expect(kept.slots(at: Generation(60)) == nil)
        // Without those in between nothing before is known.
        let gap = KeptArrays(
            present.array, present.generation,
            history: table.history().filter { $0.generation != present.generation })
        #expect(gap.oldest == Generation(59) && gap.slots(at: Generation(58)) == nil)
    }
}
