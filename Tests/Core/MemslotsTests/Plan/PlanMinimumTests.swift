import Testing

@testable import Memslots

@Suite("the plan needs the fewest calls")
struct PlanMinimumTests {
    /// The fewest calls from one state to all that can be reached: breadth first over every legal
    /// call, with parking at every free page of a universe that is wider than the arrays.
    private func distances(from start: [Memslot], over slots: [[Memslot]]) -> [KernelModel: Int] {
        let origin = KernelModel(start)
        var distance = [origin: 0]
        var queue = [origin]
        var head = 0
        while head < queue.count {
            let state = queue[head]
            let steps = distance[state, default: 0] + 1
            head += 1
            for versions in slots {
                let present = state.slots[versions[0].assignedKey]
                var calls = present.map { [SlotCall.delete($0)] } ?? []
                for version in versions {
                    guard let present else {
                        calls.append(.create(version))
                        continue
                    }
                    calls.append(.move(from: present, to: version))
                    calls.append(.reflag(from: present, to: version))
                }
                for call in calls {
                    var next = state
                    guard next.apply(call) == nil, distance[next] == nil else { continue }
                    distance[next] = steps
                    queue.append(next)
                }
            }
        }
        return distance
    }

    /// All places of a slot of `pages` pages on `universe` pages, with these flags.
    private func places(
        _ id: UInt32, pages: UInt64, universe: UInt64, flags: [MemslotFlags] = [[]]
    ) -> [Memslot] {
        (0...(universe - pages)).flatMap { page in
            flags.map { slot(id, at: page, pages: pages, host: 0x500, flags: $0) }
        }
    }

    /// From each of `starts`, checks every state that fits `limit` pages against the search.
    private func check(_ slots: [[Memslot]], limit: UInt64, every stride: Int = 1) -> (Int, Int) {
        func fits(_ array: [Memslot]) -> Bool {
            array.allSatisfy { $0.guestPhysicalEnd.rawValue <= limit * 4096 }
        }
        var (checked, wrong) = (0, 0)
        let all = distances(from: [], over: slots).keys.map(\.array).filter(fits)
            .sorted { "\($0)" < "\($1)" }
        for start in Swift.stride(from: 0, to: all.count, by: stride).map({ all[$0] }) {
            for (state, fewest) in distances(from: start, over: slots) where fits(state.array) {
                let plan = Plan(MemslotDiff(from: start, to: state.array))
                checked += 1
                if plan.operations.count != fewest || !plan.isOptimal { wrong += 1 }
            }
        }
        return (checked, wrong)
    }

    @Test("for all pairs of arrays of three slots of a page on four, with a place to park")
    func threeSlots() {
        let slots = (0..<3).map { places(UInt32($0), pages: 1, universe: 5) }
        let (checked, wrong) = check(slots, limit: 4, every: 3)
        #expect(checked > 1_000)
        #expect(wrong == 0)
    }

    @Test("for all pairs of arrays of two slots of two sizes that log or not")
    func sizesAndLogs() {
        let slots = (0..<2).map {
            places(UInt32($0), pages: UInt64($0) + 1, universe: 5, flags: [[], .logDirtyPages])
        }
        let (checked, wrong) = check(slots, limit: 4, every: 3)
        #expect(checked > 500)
        #expect(wrong == 0)
    }

    @Test("for four slots of mixed sizes that fill their pages, from some arrays to all")
    func fourSlots() {
        let sizes: [UInt64] = [1, 1, 2, 1]
        let slots = sizes.enumerated().map {
            places(UInt32($0.offset), pages: $0.element, universe: 6)
        }
        let (checked, wrong) = check(slots, limit: 6, every: 251)
        #expect(checked > 1_000)
        #expect(wrong == 0)
    }

    @Test("where a slot is replaced, its two calls are all that it costs")
    func replaced() {
        let versions = (0..<2).map { id in
            places(UInt32(id), pages: 1, universe: 3) + places(UInt32(id), pages: 2, universe: 3)
        }
        let (checked, wrong) = check(versions, limit: 3)
        #expect(checked > 300)
        #expect(wrong == 0)
    }
}
