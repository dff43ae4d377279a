import MemslotTestKit
import Testing

@testable import Memslots

@Suite("the order of moves")
struct MoveOrderTests {
    /// Slots of one to three pages, shuffled among themselves, some to free pages.
    private func moves(_ count: Int, _ random: inout SeededRandom) -> [MemslotPair] {
        let sizes = (0..<count).map { _ in UInt64.random(in: 1...3, using: &random) }
        func laidOut(_ order: [Int]) -> [Int: Memslot] {
            var page: UInt64 = 0
            var slots: [Int: Memslot] = [:]
            for id in order {
                page += Int.random(in: 0..<6, using: &random) == 0 ? 3 : 0
                slots[id] = slot(UInt32(id), at: page, pages: sizes[id])
                page += sizes[id]
            }
            return slots
        }
        let (old, new) = (
            laidOut((0..<count).shuffled(using: &random)),
            laidOut((0..<count).shuffled(using: &random))
        )
        return (0..<count).compactMap { id in
            guard let before = old[id], let after = new[id], before != after else { return nil }
            return MemslotPair(before: before, after: after)
        }
    }

    @Test("is legal, and breaks as few slots as the general cut of the whole graph")
    func likeTheGeneralWay() {
        var random = SeededRandom(seed: 21)
        var wrong: [String] = []
        var cycles = 0
        for _ in 0..<1_500 {
            let moves = moves(Int.random(in: 1...9, using: &random), &random)
            var effort = 50_000
            let order = MoveOrder(moves, effort: &effort)
            let waits = moves.indices.map { move in
                moves.indices.filter {
                    $0 != move && moves[$0].before.overlaps(moves[move].after)
                }
            }
            let cut = FeedbackVertexSet(of: DirectedGraph(waits), effort: &effort)
            var gone = Set(order.broken)
            for move in order.direct {
                if !gone.isSuperset(of: waits[move]) { wrong.append("\(moves)") }
                gone.insert(move)
            }
            if gone.count != moves.count || order.broken.count != cut.vertices.count {
                wrong.append("\(moves)")
            }
            cycles += cut.vertices.count
        }
        #expect(wrong.isEmpty, "\(wrong.count), first \(wrong.first ?? "")")
        #expect(cycles > 500)
    }

    @Test("breaks a ring at the slot at which the general cut breaks it")
    func rings() {
        var random = SeededRandom(seed: 22)
        var wrong = 0
        for count in 2...40 {
            let places = (0..<count).shuffled(using: &random)
            // Each takes the place of the next in a random ring.
            let moves = (0..<count).map { id in
                let (from, to) = (places[id], (places[id] + 1) % count)
                return MemslotPair(
                    before: slot(UInt32(id), at: UInt64(from)),
                    after: slot(UInt32(id), at: UInt64(to)))
            }
            let waits = moves.map { move in
                moves.indices.filter { moves[$0].before.overlaps(move.after) }
            }
            var effort = 50_000
            let cut = FeedbackVertexSet(of: DirectedGraph(waits), effort: &effort)
            if MoveOrder(moves, effort: &effort).broken != cut.vertices { wrong += 1 }
        }
        #expect(wrong == 0)
    }
}
