import MemslotTestKit
import Testing

@testable import Memslots

@Suite("overlaps of an array that changes little")
struct ChangedOverlapsTests {
    /// Slots that fill two address spaces, with gaps, whose ids are in no order.
    private func present(_ random: inout SeededRandom) -> [Memslot] {
        let count = Int.random(in: 1...40, using: &random)
        let ids = (0..<UInt32(count)).shuffled(using: &random)
        var pages: [UInt64] = [0, 0]
        return ids.map { id in
            let space = Int(id % 2)
            let size = UInt64.random(in: 1...4, using: &random)
            pages[space] += UInt64.random(in: 0...2, using: &random)
            defer { pages[space] += size }
            return slot(id, at: pages[space], pages: size, space: UInt32(space))
        }.byKey
    }

    /// A few slots moved, resized, taken away and added, wherever that is.
    private func changed(_ present: [Memslot], _ random: inout SeededRandom) -> [Memslot] {
        var slots = present
        for _ in 0..<Int.random(in: 1...4, using: &random) where !slots.isEmpty {
            let index = Int.random(in: slots.indices, using: &random)
            let page = UInt64.random(in: 0...100, using: &random)
            let pages = UInt64.random(in: 1...6, using: &random)
            let (id, space) = (slots[index].assignedID.rawValue, slots[index].addressSpace.rawValue)
            switch Int.random(in: 0..<4, using: &random) {
            case 0: slots[index] = slots[index].at(page)
            case 1: slots[index] = slot(id, at: page, pages: pages, space: space)
            case 2: slots.remove(at: index)
            default: slots.append(slot(id + 100, at: page, pages: pages, space: space))
            }
        }
        var known: Set<SlotKey> = []
        return slots.byKey.filter { known.insert($0.assignedKey).inserted }
    }

    @Test("are those that comparing every two slots finds")
    func overlaps() {
        var random = SeededRandom(seed: 21)
        var wrong: [String] = []
        var counts = [false: 0, true: 0]
        for _ in 0..<20_000 {
            let old = present(&random)
            let new = changed(old, &random)
            let scan = ArrayScan(new, present: old) { _ in false }
            let found = ChangedOverlaps(
                in: new, scan.changes, present: MemslotArray(sortedByKey: old)
            ).exist
            let expected = new.indices.contains { left in
                new[..<left].contains { $0.overlaps(new[left]) }
            }
            if found != expected { wrong.append("\(old) to \(new): \(found)") }
            counts[expected, default: 0] += 1
        }
        #expect(wrong.isEmpty, "\(wrong.count), first \(wrong.first ?? "")")
        #expect(counts.values.allSatisfy { $0 > 2_000 }, "\(counts)")
    }

    @Test("an array of which few slots change is refused for one that meets a slot that stays")
    func refused() throws {
        let table = try MemslotTable(
            backend: ModelBackend(), installed: (0..<40).map { slot($0, at: UInt64($0) * 2) })
        var slots = table.read { $0.array.slots }
        // Out of order by its address, so that a look in the order of ids decides nothing.
        slots[3] = slots[3].at(200)
        #expect(throws: Never.self) { try table.plan(slots) }
        slots[3] = slots[3].at(60)
        #expect(throws: SubmitError.self) { try table.plan(slots) }
    }
}
