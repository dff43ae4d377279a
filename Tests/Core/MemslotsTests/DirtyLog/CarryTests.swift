import Testing

@testable import Memslots

@Suite("no dirty page is lost")
struct CarryTests {
    private struct HostPage: Hashable {
        let object: UInt32
        let page: UInt64
    }

    private func hostPage(_ slot: Memslot, _ page: UInt64) -> HostPage {
        guard let memory = slot.memory else {
            return HostPage(object: 0, page: slot.userspaceAddress.rawValue / 4096 + page)
        }
        return HostPage(
            object: memory.object.rawValue, page: memory.offset.rawValue / 4096 + page)
    }

    private func endsLogging(_ slot: Memslot, in plan: [PlannedOperation]) -> Bool {
        plan.contains { $0.call.before == slot && $0.call.endsLogging }
    }

    @Test(
        "over splits, merges, moves, replacements, aliases and logs off",
        arguments: [false, true])
    func random(keepsBits: Bool) throws {
        var arrays = RandomArrays(seed: 9)
        var wrong: [String] = []
        var (carried, unmapped) = (0, 0)
        for round in 0..<600 {
            var present = arrays.next()
            let backend = ModelBackend(present, keepsBitsWhenRead: keepsBits)
            let table = try MemslotTable(backend: backend, installed: present)
            for step in 0..<3 {
                for slot in present where slot.isLogging {
                    let pages = (0..<slot.pageCount).filter { _ in
                        Bool.random(using: &arrays.random)
                    }
                    backend.write(Array(pages), to: slot.assignedKey)
                }
                let before = try table.dirtyPages()
                let new = step == 1 ? arrays.next() : arrays.near(present)
                let foreseen = try table.plan(new)
                #expect(try table.dirtyPages() == before)
                let receipt = try table.submit(new)
                let after = try table.dirtyPages()
                let expected = self.expected(before, present, new, receipt.operations)
                if after != expected.bits { wrong.append("\(round): \(after)") }
                if receipt.unmappedDirtyPages.map(\.slot.assignedKey) != expected.lost.keys.sorted()
                    || receipt.unmappedDirtyPages.contains(where: {
                        $0.runs.flatMap { Array($0) } != expected.lost[$0.slot.assignedKey]
                    })
                {
                    wrong.append("\(round): unmapped \(receipt.unmappedDirtyPages)")
                }
                if foreseen.unmappedDirtyPages != receipt.unmappedDirtyPages {
                    wrong.append("\(round): foreseen")
                }
                carried += after.values.joined().count
                unmapped += expected.lost.values.joined().count
                present = new
            }
        }
        #expect(wrong.isEmpty)
        #expect(carried > 500 && unmapped > 200)
    }

    /// Page by page: the dirty pages that every slot of `new`, and the receipt, must have.
    private func expected(
        _ before: [SlotKey: [UInt64]], _ old: [Memslot], _ new: [Memslot],
        _ plan: [PlannedOperation]
    ) -> (bits: [SlotKey: [UInt64]], lost: [SlotKey: [UInt64]]) {
        var bits: [SlotKey: Set<UInt64>] = [:]
        var lost: [SlotKey: [UInt64]] = [:]
        for slot in new where slot.isLogging { bits[slot.assignedKey] = [] }
        for slot in old where slot.isLogging {
            guard endsLogging(slot, in: plan) else {
                bits[slot.assignedKey, default: []].formUnion(before[slot.assignedKey] ?? [])
                continue
            }
            for page in before[slot.assignedKey] ?? [] {
                let host = hostPage(slot, page)
                var isMapped = false
                for taker in new where taker.isLogging {
                    for candidate in 0..<taker.pageCount where hostPage(taker, candidate) == host {
                        bits[taker.assignedKey, default: []].insert(candidate)
                        isMapped = true
                    }
                }
                if !isMapped { lost[slot.assignedKey, default: []].append(page) }
            }
        }
        return (bits.mapValues { $0.sorted() }, lost)
    }

    @Test("reading leaves the bits, clearing takes exactly those that were answered")
    func reading() throws {
        let old = slot(0, at: 0, pages: 8, flags: .logDirtyPages)
        let backend = ModelBackend([old])
        let table = try MemslotTable(backend: backend, installed: [old])
        backend.write([0, 2, 5, 7], to: old.assignedKey)
        #expect(try table.dirtyPages() == [old.assignedKey: [0, 2, 5, 7]])
        let answered = try table.dirtyLog(of: old.assignedKey, pages: 1..<6, clear: true)
        #expect(answered.bitmap.runs == [2..<3, 5..<6])
        #expect(try table.dirtyPages() == [old.assignedKey: [0, 7]])
        #expect(throws: DirtyLogError.pagesOutOfRange(pageCount: 8)) {
            try table.dirtyLog(of: old.assignedKey, pages: 7..<9)
        }
        #expect(throws: DirtyLogError.unknownSlot(SlotKey(id: SlotID(1)))) {
            try table.dirtyLog(of: SlotKey(id: SlotID(1)))
        }
        try table.submit([old.with([])])
        #expect(throws: DirtyLogError.notLogging(old.assignedKey)) {
            try table.dirtyLog(of: old.assignedKey)
        }
    }

    @Test("an empty range past the end is refused, not a trap")
    func emptyRange() throws {
        let old = slot(0, at: 0, pages: 8, flags: .logDirtyPages)
        let table = try MemslotTable(backend: ModelBackend([old]), installed: [old])
        #expect(try table.dirtyLog(of: old.assignedKey, pages: 8..<8).bitmap.isEmpty)
        #expect(throws: DirtyLogError.self) {
            try table.dirtyLog(of: old.assignedKey, pages: 9..<9)
        }
    }
}
