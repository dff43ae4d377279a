import MemslotTestKit
import Testing

@testable import Memslots

@Suite("the smallest cut of cycles")
struct FeedbackVertexSetTests {
    private func hasCycle(_ adjacency: [[Int]], without cut: Int) -> Bool {
        var left = (0..<adjacency.count).filter { cut >> $0 & 1 == 0 }
        while let sink = left.firstIndex(where: { vertex in
            !adjacency[vertex].contains { left.contains($0) }
        }) {
            left.remove(at: sink)
        }
        return !left.isEmpty
    }

    private func smallest(_ adjacency: [[Int]]) -> Int {
        (0..<(1 << adjacency.count)).sorted { $0.nonzeroBitCount < $1.nonzeroBitCount }
            .first { !hasCycle(adjacency, without: $0) }?.nonzeroBitCount ?? 0
    }

    @Test("is a cut, the smallest one, and says so, on random graphs of up to nine vertices")
    func random() {
        var random = SeededRandom(seed: 7)
        var wrong: [String] = []
        for _ in 0..<700 {
            let count = Int.random(in: 1...9, using: &random)
            let density = Double.random(in: 0.1...0.6, using: &random)
            let adjacency = (0..<count).map { _ in
                (0..<count).filter { _ in Double.random(in: 0..<1, using: &random) < density }
            }
            var effort = FeedbackVertexSet.effort
            let cut = FeedbackVertexSet(of: DirectedGraph(adjacency), effort: &effort)
            let mask = cut.vertices.reduce(0) { $0 | 1 << $1 }
            if hasCycle(adjacency, without: mask) { wrong.append("no cut: \(adjacency)") }
            if Set(cut.vertices).count != cut.vertices.count { wrong.append("twice") }
            if !cut.isMinimum { wrong.append("not proved") }
            if cut.vertices.count != smallest(adjacency) { wrong.append("too big: \(adjacency)") }
        }
        #expect(wrong.isEmpty)
    }

    /// Slots of two pages that each move onto halves of two others: what is hardest to order.
    private func halves(_ count: Int, seed: UInt64) -> (old: [Memslot], new: [Memslot]) {
        var random = SeededRandom(seed: seed)
        let places = (0..<count).shuffled(using: &random)
        let old = (0..<count).map { slot(UInt32($0), at: UInt64($0) * 2, pages: 2) }
        return (old, old.indices.map { old[$0].at(UInt64(places[$0]) * 2 + 1) })
    }

    @Test("is never called smallest where a smaller one exists", arguments: [5, 9, 12])
    func honest(count: Int) {
        for seed in 0..<20 {
            let (old, new) = halves(count, seed: UInt64(seed))
            let adjacency = new.indices.map { target in
                old.indices.filter { $0 != target && old[$0].overlaps(new[target]) }
            }
            let plan = Plan(MemslotDiff(from: old, to: new))
            let extra = plan.operations.count - old.count
            let fewest = smallest(adjacency)
            #expect(plan.isOptimal ? extra == fewest : extra >= fewest)
        }
    }

    @Test("of one cycle of 10,000 slots is one slot, found fast")
    func rotation() {
        let old = (0..<10_000).map { slot(UInt32($0), at: UInt64($0)) }
        let new = old.indices.map { old[$0].at(UInt64(($0 + 1) % old.count)) }
        let plan = Plan(MemslotDiff(from: old, to: new))
        #expect(plan.operations.count == 10_001)
        #expect(plan.isOptimal)
    }

    @Test("of 5,000 swaps is one slot each")
    func swaps() {
        let old = (0..<10_000).map { slot(UInt32($0), at: UInt64($0)) }
        let new = old.indices.map { old[$0].at(UInt64($0 ^ 1)) }
        let plan = Plan(MemslotDiff(from: old, to: new))
        #expect(plan.operations.count == 15_000)
        #expect(plan.isOptimal)
    }

    @Test("of a chain of 200,000 moves is none, and the chain needs no stack")
    func chain() {
        let old = (0..<200_000).map { slot(UInt32($0), at: UInt64($0)) }
        let moves = old.map {
            MemslotPair(before: $0, after: $0.at($0.guestPhysicalAddress.pageNumber + 1))
        }
        var effort = 0
        let order = MoveOrder(moves, effort: &effort)
        #expect(order.direct == Array((0..<200_000).reversed()))
        #expect(order.broken.isEmpty)
        let graph = DirectedGraph((0..<200_000).map { $0 == 0 ? [199_999] : [$0 - 1] })
        #expect(graph.strongComponents().map(\.count) == [200_000])
    }

    @Test("is found in bounded time where it can't be proved", arguments: [60, 4_000])
    func hard(count: Int) {
        let (old, new) = halves(count, seed: 1)
        let plan = Plan(MemslotDiff(from: old, to: new))
        var kernel = KernelModel(count > 1_000 ? [] : old)
        guard count <= 1_000 else { return }
        #expect(plan.operations.allSatisfy { kernel.apply($0.call) == nil })
        #expect(kernel.array == new)
    }
}
