import MemslotTestKit
import Testing

@testable import Memslots

@Suite("picked ids")
struct PickedIDTests {
    private func picked(_ slots: [Memslot], over present: [Memslot]) -> [UInt32] {
        SlotIDAssignment(for: slots, present: MemslotArray(sortedByKey: present.byKey))
            .slots.map(\.assignedID.rawValue)
    }

    private func operations(_ slots: [Memslot], over present: [Memslot]) -> Int {
        Plan(MemslotDiff(from: present.byKey, to: slots.byKey)).operations.count
    }

    @Test("named ids are taken first, what is left gets the lowest free ones in request order")
    func lowestFree() {
        let slots = [slot(nil, at: 0, host: 1), slot(1, at: 1), slot(nil, at: 2, host: 2)]
        #expect(picked(slots, over: []) == [0, 1, 2])
        let spaces = [
            slot(nil, at: 0, host: 1, space: 1), slot(0, at: 1), slot(nil, at: 2, host: 2),
            slot(nil, at: 3, host: 2, space: 1),
        ]
        #expect(picked(spaces, over: []) == [0, 0, 1, 1])
        // Free in the new array: the id of a slot that goes away is.
        #expect(picked([slot(nil, at: 9, host: 9)], over: [slot(0, at: 0)]) == [0])
    }

    @Test("a present slot is taken over, where the request does not name its id")
    func takenOver() {
        let present = [slot(4, at: 0, host: 1), slot(7, at: 1, host: 2)]
        #expect(picked([slot(nil, at: 5, host: 2)], over: present) == [7])
        #expect(picked([slot(nil, at: 5, host: 2, flags: .logDirtyPages)], over: present) == [7])
        #expect(picked([slot(nil, at: 5, host: 2, flags: .readOnly)], over: present) == [0])
        #expect(picked([slot(nil, at: 5, host: 2, space: 1)], over: present) == [0])
        #expect(picked([slot(nil, at: 5, pages: 2, host: 2)], over: present) == [0])
        #expect(picked([slot(nil, at: 5, host: 2), slot(7, at: 9)], over: present) == [0, 7])
    }

    @Test("one at an equal address comes first, the rest by ascending address")
    func order() {
        let present = [slot(3, at: 0, host: 1), slot(1, at: 2, host: 1), slot(2, at: 4, host: 1)]
        #expect(picked([slot(nil, at: 4, host: 1)], over: present) == [2])
        #expect(picked([slot(nil, at: 9, host: 1)], over: present) == [3])
        let slots = [
            slot(nil, at: 20, host: 1), slot(nil, at: 10, host: 1), slot(nil, at: 2, host: 1),
        ]
        #expect(picked(slots, over: present) == [2, 3, 1])
    }

    /// Every way to give unnamed slots the ids of present ones of their kind, as many as can be.
    private func allMatchings(_ slots: [Memslot], over present: [Memslot]) -> [[UInt32?]] {
        func sameKind(_ left: Memslot, _ right: Memslot) -> Bool {
            left.addressSpace == right.addressSpace && left.size == right.size
                && left.userspaceAddress == right.userspaceAddress && left.memory == right.memory
                && left.flags.subtracting(.logDirtyPages) == right.flags.subtracting(.logDirtyPages)
        }
        let named = Set(slots.filter { $0.id != nil }.map(\.key))
        var free = present.byKey.filter { !named.contains($0.key) }
        var fixed: [Int: UInt32] = [:]
        for index in slots.indices where slots[index].id == nil {
            let match = free.firstIndex {
                sameKind($0, slots[index])
                    && $0.guestPhysicalAddress == slots[index].guestPhysicalAddress
            }
            if let match { fixed[index] = free.remove(at: match).assignedID.rawValue }
        }
        var all: [[UInt32?]] = [[]]
        for index in slots.indices {
            all = all.flatMap { partial -> [[UInt32?]] in
                if let id = fixed[index] { return [partial + [id]] }
                guard slots[index].id == nil else { return [partial + [nil]] }
                let space = slots[index].addressSpace
                let used = Set(zip(slots, partial).filter { $0.0.addressSpace == space }.map(\.1))
                let choices = free.filter {
                    sameKind($0, slots[index]) && !used.contains($0.assignedID.rawValue)
                }
                return choices.map { partial + [$0.assignedID.rawValue] } + [partial + [nil]]
            }
        }
        let most = all.map { $0.compactMap { $0 }.count }.max() ?? 0
        return all.filter { $0.compactMap { $0 }.count == most }
    }

    @Test("no other way to match needs fewer calls, on random arrays")
    func fewest() {
        var arrays = RandomArrays(seed: 10)
        arrays.backings = 1
        arrays.universe = 9
        arrays.spaces = 1
        var wrong: [String] = []
        var contested = 0
        for round in 0..<2_500 {
            arrays.largest = UInt64(1 + round % 2)
            let present = arrays.next()
            var slots = arrays.near(present)
            for index in slots.indices where Int.random(in: 0..<5, using: &arrays.random) > 0 {
                slots[index].id = nil
            }
            let assignment = SlotIDAssignment(
                for: slots, present: MemslotArray(sortedByKey: present.byKey))
            let costs = allMatchings(slots, over: present).map { ids in
                let candidate = complete(slots, ids)
                return operations(candidate, over: present)
            }
            if Set(costs).count > 1 { contested += 1 }
            let cost = operations(assignment.slots, over: present)
            if cost != costs.min() { wrong.append("\(round): \(cost), not \(costs.min() ?? 0)") }
            if !assignment.isOptimal { wrong.append("\(round): not proved") }
            if Set(assignment.slots.map(\.assignedKey)).count != slots.count {
                wrong.append("twice")
            }
            for (asked, given) in zip(slots, assignment.slots) where asked.id != nil {
                if asked != given { wrong.append("a named id changed") }
            }
        }
        #expect(wrong.isEmpty)
        #expect(contested > 20, "the draws reach choices that matter")
    }

    private func complete(_ slots: [Memslot], _ ids: [UInt32?]) -> [Memslot] {
        var slots = slots
        for (index, id) in ids.enumerated() {
            if let id { slots[index].id = SlotID(id) }
        }
        for index in slots.indices where slots[index].id == nil {
            let used = Set(slots.map(\.assignedKey))
            slots[index].id = SlotID(
                (0...).first {
                    !used.contains(SlotKey(addressSpace: slots[index].addressSpace, id: SlotID($0)))
                } ?? 0)
        }
        return slots
    }

    @Test("a failed submit leaks no id")
    func leaks() throws {
        let backend = ModelBackend()
        let table = try MemslotTable(backend: backend)
        backend.refuse(at: 0)
        for _ in 0..<3 { #expect(table.refusal(of: [slot(nil, at: 0)]) != nil) }
        backend.refuse()
        let receipt = try table.submit([slot(nil, at: 0), slot(nil, at: 1, host: 5)])
        #expect(receipt.slots.map(\.assignedID.rawValue) == [0, 1])
        let named = [slot(0, at: 0, host: 0x10_0000), slot(1, at: 1, host: 5)]
        let later = try table.submit(named)
        #expect(later.slots == named && !later.hasPickedIDs)
    }

    @Test("an array of its own slots without ids is unchanged")
    func unchanged() throws {
        var arrays = RandomArrays(seed: 11)
        for _ in 0..<200 {
            let present = arrays.next()
            if present.isEmpty { continue }
            let table = try MemslotTable(backend: ModelBackend(present), installed: present)
            var slots = present
            for index in slots.indices { slots[index].id = nil }
            let receipt = try table.submit(slots)
            #expect(receipt.outcome == .unchanged)
            #expect(receipt.slots == present)
        }
    }

    @Test("ids that could not all be tried are not called optimal, though they are used")
    func cutShort() throws {
        var random = SeededRandom(seed: 15)
        var unproved = 0
        for _ in 0..<6 {
            // Ten kinds of four slots each, all of which go where others are.
            let pages = (0..<40 as Range<UInt64>).shuffled(using: &random)
            func slots(_ order: [UInt64], named: Bool) -> [Memslot] {
                order.enumerated().map { number, page in
                    slot(named ? UInt32(number) : nil, at: page, host: UInt64(number / 4 + 1) << 8)
                }
            }
            let present = slots(pages, named: true)
            let table = try MemslotTable(backend: ModelBackend(present), installed: present)
            let wanted = slots(pages.shuffled(using: &random), named: false)
            let assignment = SlotIDAssignment(
                for: wanted, present: MemslotArray(sortedByKey: present.byKey))
            let receipt = try table.submit(wanted)
            #expect(receipt.slots == assignment.slots)
            if !assignment.isOptimal {
                unproved += 1
                #expect(!receipt.isOptimal)
            }
        }
        #expect(unproved > 0)
    }

    @Test("what a VM has already must come with its ids")
    func installed() {
        #expect(throws: InvalidArray.self) {
            try MemslotTable(backend: ModelBackend(), installed: [slot(nil, at: 0)])
        }
    }

    @Test("30,000 slots of one kind that all move find their ids, also in knots")
    func huge() {
        var random = SeededRandom(seed: 12)
        let count: UInt64 = 30_000
        let places = (0..<count).shuffled(using: &random)
        let present = (0..<count).map { slot(UInt32($0), at: $0 * 2, pages: 2, host: $0 & 1) }
        let slots = (0..<count).map {
            slot(nil, at: places[Int($0)] * 2 + 1, pages: 2, host: $0 & 1)
        }
        #expect(Set(picked(slots, over: present)).count == Int(count))
    }
}
