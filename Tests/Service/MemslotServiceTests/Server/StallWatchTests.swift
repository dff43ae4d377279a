import Synchronization
import Testing

@testable import MemslotService

extension ServerTests {
    @Suite("the watch that finds requests that take long")
    struct StallWatchTests {
        /// What the reading thread alone touches, until another one reads.
        // Unchecked: ThreadSanitizer sees here whether the watch orders the accesses.
        private final class Buffer: @unchecked Sendable {
            var count = 0
            let isPassed = Atomic<Bool>(false)
        }

        @Test("the thread that reads next sees all that the one before did to the buffer")
        func handover() throws {
            let watch = StallWatch()
            let threads = ConnectionThreads(limit: 1)
            try #require(watch.start(on: threads))
            let buffer = Buffer()
            let reader = watch.add { request in
                guard request == 2 else { return true }
                buffer.count += 1
                buffer.isPassed.store(true, ordering: .releasing)
                return true
            }
            // It wakes the watch under a lock, which would order the accesses too.
            reader.begin(1)
            reader.end(1)
            buffer.count += 1
            reader.begin(2)
            let end = ContinuousClock.now + .seconds(60)
            while !buffer.isPassed.load(ordering: .acquiring), .now < end {}
            #expect(buffer.count == 2)
            watch.stop()
        }
    }
}
