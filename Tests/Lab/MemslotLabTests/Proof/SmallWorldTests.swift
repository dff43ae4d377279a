import Memslots
import Testing

@testable import MemslotLab

@Suite("small worlds")
struct SmallWorldTests {
    private func slot(_ id: Int, _ run: Range<UInt64>, _ kind: SmallKind = SmallKind()) -> Memslot {
        kind.slot(id, run)
    }

    @Test("all pairs of up to two slots on four pages, each counted once")
    func everyPair() {
        let report = SmallWorld(ids: 2, pages: 4).planAll()
        #expect(report.findings == [])
        // The weights of the planned pairs add up to all pairs.
        #expect(report.arrays == 1 + 10 * 2 * 8 + 15 * 2 * 64)
        #expect(report.pairs == report.arrays * report.arrays)
        #expect(report.searched > 0)
    }

    @Test("random pairs of three slots on six pages and of four on five")
    func drawn() {
        for (ids, pages) in [(3, 6), (4, 5)] as [(Int, UInt64)] {
            let report = SmallWorld(ids: ids, pages: pages).planSample(3_000, seed: 7)
            #expect(report.findings == [])
            #expect(report.planned == 3_000)
        }
    }

    @Test("every dirty page of small transactions is accounted for")
    func dirtyPages() {
        let all = SmallWorld(ids: 2, pages: 2).commitAll(seed: 3)
        let drawn = SmallWorld(ids: 3, pages: 6).commitSample(3_000, seed: 3)
        #expect(all.findings + drawn.findings == [])
        #expect(all.pairs > 1_000)
        #expect(drawn.dirtyPages > 1_000)
    }

    @Test("the rules refuse the same operations as a kernel")
    func rules() {
        let (a, b) = (slot(0, 0..<2), slot(1, 2..<3))
        var kernel = SmallKernel([a, b], ids: 3)
        let refused: [SlotCall] = [
            .create(slot(2, 1..<2)), .create(slot(0, 4..<5)), .delete(slot(2, 4..<5)),
            .delete(slot(0, 0..<1)), .move(from: b, to: slot(1, 1..<2)),
            .move(from: b, to: slot(1, 4..<6)), .move(from: b, to: b),
            .move(from: b, to: slot(1, 4..<5, SmallKind(backing: 1))),
            .move(from: b, to: slot(1, 4..<5, SmallKind(isReadOnly: true))),
            .reflag(from: b, to: b), .reflag(from: b, to: slot(1, 4..<5)),
        ]
        for call in refused { #expect(kernel.apply(call) != nil, "\(call)") }
        let accepted: [SlotCall] = [
            .move(from: b, to: slot(1, 3..<4, SmallKind(logs: true))),
            .create(slot(2, 2..<3)), .delete(a),
            .reflag(from: slot(2, 2..<3), to: slot(2, 2..<3, SmallKind(logs: true))),
        ]
        for call in accepted { #expect(kernel.apply(call) == nil, "\(call)") }
        #expect(kernel.array.map(\.assignedID.rawValue) == [1, 2])
    }

    @Test("the search finds as short a way as a breadth-first search, and none shorter")
    func search() {
        let layouts = SmallLayout.all(ids: 2, pages: 3)
        let kinds = [SmallKind(), SmallKind(backing: 1)]
        let arrays = layouts.flatMap { layout -> [[Memslot]] in
            layout.runs.enumerated().reduce([[]]) { arrays, entry in
                guard let run = entry.element else { return arrays }
                return arrays.flatMap { array in kinds.map { array + [$0.slot(entry.offset, run)] }
                }
            }
        }
        var wrong = 0
        for old in arrays {
            let distances = breadthFirst(from: SmallKernel(old, ids: 2), kinds: kinds)
            for new in arrays {
                let (from, to) = (SmallKernel(old, ids: 2), SmallKernel(new, ids: 2))
                let ways = FewestOperations(from: from, to: to, pages: 3)
                guard let distance = distances[to] else {
                    wrong += 1
                    continue
                }
                if !ways.exists(within: distance)
                    || distance > 0 && ways.exists(within: distance - 1)
                    || ways.lowerBound > distance
                {
                    wrong += 1
                }
            }
        }
        #expect(arrays.count > 50)
        #expect(wrong == 0)
    }

    /// The fewest operations to each array, by all operations that the rules allow: on these pages and
    /// on a separate run for each slot.
    private func breadthFirst(from start: SmallKernel, kinds: [SmallKind]) -> [SmallKernel: Int] {
        var places: [Range<UInt64>] = []
        for first in 0..<3 as Range<UInt64> {
            for end in first + 1...3 { places.append(first..<end) }
        }
        let aside = (1...3 as ClosedRange<UInt64>).map { 10..<10 + $0 }
        let all = kinds
        let versions = (0..<2).map { id in
            (places + aside).flatMap { run in all.map { $0.slot(id, run) } }
        }
        var distances = [start: 0]
        var queue = [start]
        var head = 0
        while head < queue.count {
            let state = queue[head]
            let steps = distances[state, default: 0] + 1
            head += 1
            // More than the distance of any two arrays.
            if steps > 4 { continue }
            for id in 0..<2 {
                var calls: [SlotCall] = state.slots[id].map { [.delete($0)] } ?? []
                for version in versions[id] {
                    guard let present = state.slots[id] else {
                        calls.append(.create(version))
                        continue
                    }
                    if present.size != version.size { continue }
                    calls.append(
                        present.guestPhysicalAddress == version.guestPhysicalAddress
                            ? .reflag(from: present, to: version)
                            : .move(from: present, to: version))
                }
                for call in calls {
                    var next = state
                    guard next.apply(call) == nil, distances[next] == nil else { continue }
                    distances[next] = steps
                    queue.append(next)
                }
            }
        }
        return distances
    }
}
