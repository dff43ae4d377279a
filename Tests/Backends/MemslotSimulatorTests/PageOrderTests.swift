import Memslots
import Testing

@testable import MemslotSimulator

@Suite("page order")
struct PageOrderTests {
    @Test("random ranges are found as by a linear search")
    func againstPlainSearch() {
        var random = Xorshift(state: 42)
        var order = PageOrder()
        var plain: [PageOrder.Entry] = []
        var differences = 0
        // Grows for two thirds of the steps, so that leaves split, then shrinks, so that they merge.
        for step in 0..<9_000 {
            let space = UInt32(random.next() % 2)
            let first = random.next() % 20_000
            let pages = first..<first + 1 + random.next() % 6
            let met = plain.filter { $0.space == space && $0.pages.overlaps(pages) }
            if order.entries(meeting: pages, in: space).sorted(by: starts) != met.sorted(by: starts)
            {
                differences += 1
            }
            let except = met.first?.id
            let others = met.contains { $0.id != except }
            if order.isOccupied(pages, in: space, except: except) != others { differences += 1 }
            if order.isOccupied(pages, in: space, except: nil) == met.isEmpty { differences += 1 }
            if met.isEmpty, step < 6_000 {
                let entry = PageOrder.Entry(space: space, id: UInt32(step), pages: pages)
                order.insert(entry)
                plain.append(entry)
            } else if step >= 6_000, !plain.isEmpty {
                let gone = plain.remove(at: Int(random.next() % UInt64(plain.count)))
                order.remove(startingAt: gone.pages.lowerBound, in: gone.space)
            }
        }
        #expect(differences == 0)
        for entry in plain { order.remove(startingAt: entry.pages.lowerBound, in: entry.space) }
        #expect(order.entries(meeting: 0..<30_000, in: 0).isEmpty)
        #expect(order.entries(meeting: 0..<30_000, in: 1).isEmpty)
    }

    @Test("a missing range is not removed")
    func absent() {
        var order = PageOrder()
        order.remove(startingAt: 3, in: 0)
        order.insert(PageOrder.Entry(space: 0, id: 0, pages: 2..<5))
        order.remove(startingAt: 3, in: 0)
        order.remove(startingAt: 2, in: 1)
        #expect(order.entries(meeting: 4..<9, in: 0).map(\.pages) == [2..<5])
    }

    private func starts(_ left: PageOrder.Entry, _ right: PageOrder.Entry) -> Bool {
        left.pages.lowerBound < right.pages.lowerBound
    }
}

/// The same numbers in every run.
struct Xorshift {
    var state: UInt64

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state >> 3
    }
}
