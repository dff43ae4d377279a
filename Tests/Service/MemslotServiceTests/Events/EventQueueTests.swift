import MemslotService
import Testing

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
}
