import Glibc
import Synchronization
import Testing

@testable import Memslots

/// That the fence is asked for wherever the readers' protocol stands on it. What it does is tried in
/// ``ProcessFenceTests``; a test of the two together would be a race that a debug build never loses.
@Suite("where the fence of the process stands")
struct FenceUseTests {
    private let calls = Shared(0)
    private let isOrdered = Shared(true)
    /// What happens while the process is being ordered.
    private let meanwhile = Shared(Meanwhile {})
    private let version = ArrayVersion(TableSnapshot(generation: Generation(0), array: .empty))

    /// In a structure, for a bare closure is wrapped anew at every access.
    private struct Meanwhile: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    private var registry: ReaderRegistry {
        let (calls, isOrdered, meanwhile) = (calls, isOrdered, meanwhile)
        return ReaderRegistry(version) {
            calls.update { $0 += 1 }
            meanwhile.value.run()
            return isOrdered.value
        }
    }

    /// Enters or leaves, as the record shows it.
    private static func step(_ record: ReaderRecord) {
        let ticket = record.lines.pointee.ticket.load(ordering: .relaxed)
        record.lines.pointee.ticket.store(ticket + 1, ordering: .releasing)
    }

    private func step(_ record: ReaderRecord) { Self.step(record) }

    @Test("between publishing and looking at readers, where there are any")
    func looking() {
        let registry = registry
        #expect(registry.openVisits().isEmpty)
        #expect(calls.value == 0)
        let record = registry.add("reader")
        #expect(registry.openVisits().isEmpty)
        #expect(calls.value == 1)
        // What the fence brings to light is looked at after it.
        meanwhile.update { $0 = Meanwhile { Self.step(record) } }
        #expect(registry.openVisits().count == 1)
        #expect(registry.openVisits().isEmpty)
    }

    @Test("between leaving word and waiting")
    func waiting() {
        let registry = registry
        let record = registry.add("reader")
        step(record)
        let stays = registry.openVisits()
        let wasAwaited = Shared(false)
        meanwhile.update {
            $0 = Meanwhile {
                let isAwaited = record.lines.pointee.isAwaited.load(ordering: .relaxed)
                wasAwaited.update { $0 = isAwaited }
            }
        }
        #expect(registry.waitForEnd(of: stays, .after(.milliseconds(0))).count == 1)
        #expect(wasAwaited.value)
        // Who leaves meanwhile, without a word, is not waited for.
        meanwhile.update { $0 = Meanwhile { Self.step(record) } }
        #expect(registry.waitForEnd(of: stays, .after(.milliseconds(0))).isEmpty)
    }

    @Test("who leaves while it is being given up is known when it comes again")
    func abandoned() {
        let registry = registry
        let record = registry.add("reader")
        step(record)
        meanwhile.update { $0 = Meanwhile { Self.step(record) } }
        #expect(registry.abandon("reader") == 0)
        meanwhile.update { $0 = Meanwhile {} }
        step(record)
        #expect(registry.openVisits().count == 1)
        #expect(registry.abandon("reader") == 1)
        #expect(registry.openVisits().isEmpty)
    }

    @Test("where it fails a reader is waited for until it has come and gone")
    func unordered() throws {
        isOrdered.update { $0 = false }
        let registry = registry
        let record = registry.add("reader")
        // It may be on its way in, unseen, and stay; then leave, and come and go once more.
        let stay = try #require(registry.openVisits().first)
        for _ in 0..<3 {
            step(record)
            #expect(!stay.hasEnded)
        }
        step(record)
        #expect(stay.hasEnded)
    }

    @Test("where it fails, a reader that leaves without a notification is not waited for forever")
    func unnotified() throws {
        isOrdered.update { $0 = false }
        let registry = registry
        let record = registry.add("reader")
        step(record)
        let stays = registry.openVisits()
        let reader = TestThread {
            while !record.lines.pointee.isAwaited.load(ordering: .acquiring) { sched_yield() }
            // By then the writer most likely waits. It never hears of this.
            usleep(20_000)
            for _ in 0..<4 { Self.step(record) }
        }
        #expect(registry.waitForEnd(of: stays, .never).isEmpty)
        #expect(reader.join())
    }
}
