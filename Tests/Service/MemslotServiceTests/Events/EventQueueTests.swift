import Testing

@testable import MemslotService

@Suite("a subscriber's queue")
struct EventQueueTests {
    @Test("the oldest lines beyond the limit are dropped and counted")
    func lines() {
        let queue = EventQueue(limit: 3) {}
        for byte in 0..<10 as Range<UInt8> { queue.enqueue([byte]) }
        let taken = queue.removeAll()
        #expect(taken.dropped == 7)
        #expect(taken.lines == [[7], [8], [9]])
        #expect(queue.removeAll().lines.isEmpty)
        // Dropped lines are counted once.
        queue.enqueue([10])
        #expect(queue.removeAll().dropped == 0)
    }

    @Test("the oldest lines beyond the byte limit are dropped, but never the newest")
    func bytes() {
        let queue = EventQueue(limit: 100, byteLimit: 10) {}
        for length in [4, 4, 4, 25] { queue.enqueue(Array(repeating: 0, count: length)) }
        let taken = queue.removeAll()
        #expect(taken.dropped == 3)
        #expect(taken.lines.map(\.count) == [25])
        for _ in 0..<5 { queue.enqueue([1, 2, 3]) }
        #expect(queue.removeAll().lines.count == 3)
    }

    @Test("lines without room in the budget are dropped, the oldest first, and all is released")
    func budget() {
        let line = [UInt8](repeating: 0, count: 36)
        let cost = EventQueue.cost(bytes: line.count, lines: 1)
        let budget = Budget("bytes", of: "bytes", total: 20 * cost, share: 3 * cost)
        do {
            let queue = EventQueue(limit: 100, chargedTo: (budget, 1)) {}
            for _ in 0..<5 { queue.enqueue(line, of: 1) }
            #expect(budget.held(by: 1) == 3 * cost)
            let (dropped, lines) = queue.removeAllCharged()
            #expect(dropped == 2 && lines.count == 3)
            // They are the sender's now, and nothing else has room.
            #expect(budget.held(by: 1) == 3 * cost)
            queue.enqueue(line)
            #expect(queue.removeAll().dropped == 1)
            budget.release(3 * cost, of: 1)
            for _ in 0..<3 { queue.enqueue(line, of: 1) }
            queue.discard(of: 1)
            #expect(budget.sum == 0)
            for _ in 0..<3 { queue.enqueue(line) }
        }
        #expect(budget.sum == 0)
    }

    @Test("what a discarded or a removed line took is room again, in lines and in bytes")
    func roomAgain() {
        let queue = EventQueue(limit: 4, byteLimit: 10) {}
        // Two are dropped, so that the queue does not begin at its first entry.
        for byte in 0..<4 as Range<UInt8> {
            queue.enqueue([byte, byte, byte], of: UInt64(byte % 2))
        }
        queue.discard(of: 1)
        queue.enqueue([9, 9, 9, 9, 9, 9, 9], of: 1)
        let first = queue.removeAll()
        #expect(first.dropped == 1)
        #expect(first.lines == [[2, 2, 2], [9, 9, 9, 9, 9, 9, 9]])
        for byte in 0..<5 as Range<UInt8> { queue.enqueue([byte, byte], of: 1) }
        queue.discard(of: 1)
        for byte in 5..<9 as Range<UInt8> { queue.enqueue([byte, byte]) }
        let second = queue.removeAll()
        #expect(second.dropped == 1)
        #expect(second.lines == (5..<9).map { [$0, $0] })
    }
}
