import Synchronization
import Testing

@testable import Memslots

/// That the fence is asked for wherever the readers' protocol stands on it. What it does is tried in
/// ``ProcessFenceTests``; a test of the two together would be a race that a debug build never loses.
@Suite("where the fence of the process stands")
struct FenceUseTests {
    private let calls = Shared(0)
    private let isOrdered = Shared(true)
    private let version = ArrayVersion(TableSnapshot(generation: Generation(0), array: .empty))

    private var registry: ReaderRegistry {
        let (calls, isOrdered) = (calls, isOrdered)
        return ReaderRegistry(version) {
            calls.update { $0 += 1 }
            return isOrdered.value
        }
    }

    /// Comes in, or leaves, as the record tells it.
    private func step(_ record: ReaderRecord) {
        let ticket = record.lines.pointee.ticket.load(ordering: .relaxed)
        record.lines.pointee.ticket.store(ticket + 1, ordering: .releasing)
    }

    @Test("between publishing and looking at readers, where there are any")
    func looking() {
        let registry = registry
        #expect(registry.staying().isEmpty)
        #expect(calls.value == 0)
        let record = registry.add("reader")
        #expect(registry.staying().isEmpty)
        #expect(calls.value == 1)
        step(record)
        #expect(registry.staying().count == 1)
        #expect(calls.value == 2)
    }

    @Test("between leaving word and waiting")
    func waiting() {
        let registry = registry
        step(registry.add("reader"))
        let stays = registry.staying()
        calls.update { $0 = 0 }
        #expect(registry.wait(for: stays, .after(milliseconds: 0)).count == 1)
        #expect(calls.value == 1)
    }

    @Test("where it fails a reader is waited for until it has come and gone")
    func unordered() throws {
        isOrdered.update { $0 = false }
        let registry = registry
        let record = registry.add("reader")
        // It may be on its way in, unseen, and stay; then leave, and come and go once more.
        let stay = try #require(registry.staying().first)
        for _ in 0..<3 {
            step(record)
            #expect(!stay.hasEnded)
        }
        step(record)
        #expect(stay.hasEnded)
    }
}
