import MemslotTestKit
import Testing

@testable import Memslots

/// The order in which observers hear, logs are read and submits are taken.
@Suite("what comes first")
struct OrderTests {
    @Test("observers hear in the order in which they came")
    func observers() throws {
        let table = try MemslotTable(backend: ModelBackend())
        let heard = Shared<[Int]>([])
        var observations: [Observation] = []
        for number in 0..<5 {
            observations.append(
                try table.observe { _ in heard.update { $0.append(number) } }.observation)
        }
        try table.submit([slot(0, at: 0)])
        #expect(heard.value == [0, 1, 2, 3, 4])
        withExtendedLifetime(observations) {}
    }

    @Test("asynchronous submits are taken as they came")
    func jobs() {
        let thread = SubmissionThread()
        let (mayGo, isDone) = (Signal(), Signal())
        let order = Shared<[Int]>([])
        thread.run { mayGo.wait() }
        for number in 0..<5 { thread.run { order.update { $0.append(number) } } }
        thread.run { isDone.send() }
        mayGo.send()
        #expect(isDone.wait())
        #expect(order.value == [0, 1, 2, 3, 4])
    }

    @Test("a history of the last few has the last few")
    func history() throws {
        let table = try MemslotTable(backend: ModelBackend())
        for page in 0..<4 as Range<UInt64> { try table.submit([slot(0, at: page)]) }
        #expect(table.history(last: 2).map(\.generation) == [Generation(3), Generation(4)])
    }

    @Test("the backend hears that logs will be read before they are")
    func readings() throws {
        final class Noting: MemslotBackend {
            let model = ModelBackend()
            let notes = Shared<[String]>([])
            var capabilities: Capabilities { model.capabilities }
            func apply(_ call: SlotCall) throws(Errno) { try model.apply(call) }
            func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
                notes.update { $0.append("read") }
                return try model.readDirtyLog(of: slot, clear: clear)
            }
            func beginTransaction() { model.beginTransaction() }
            func collectDirtyPages() { notes.update { $0.append("will") } }
        }
        let backend = Noting()
        let table = try MemslotTable(backend: backend)
        let logging = [
            slot(0, at: 0, flags: .logDirtyPages), slot(1, at: 1, flags: .logDirtyPages),
        ]
        try table.submit(logging)
        _ = try table.dirtyLog(of: logging[0].assignedKey)
        #expect(backend.notes.value == ["will", "read"])
        try table.submit([])
        #expect(backend.notes.value == ["will", "read", "will", "read", "read"])
    }

    @Test("calls that break cycles are in the order of their slots, whatever cycles they are of")
    func cycles() throws {
        // Two small slots trade places with a large one; two others with each other.
        let before = [
            slot(0, at: 0, pages: 2), slot(1, at: 2), slot(2, at: 3), slot(4, at: 10),
            slot(5, at: 11),
        ]
        let after = [
            before[0].at(2), before[1].at(0), before[2].at(1), before[3].at(11), before[4].at(10),
        ]
        let plan = Plan(MemslotDiff(from: before, to: after))
        let broken = plan.operations.filter { $0.reason == .cycle }.map(\.call)
        let deleted = broken.filter { $0.after == nil }.map(\.key)
        let created = broken.filter { $0.before == nil }.map(\.key)
        #expect(deleted.count == 2)
        #expect(deleted == deleted.sorted())
        #expect(created == deleted)
    }

    @Test("for one cycle already other ids are looked for, and found")
    func oneCycle() throws {
        // Two slots of one memory, of which either may become either.
        func alias(_ id: UInt32?, at page: UInt64) -> Memslot { slot(id, at: page, host: 0x500) }
        let present = [alias(0, at: 0), slot(1, at: 1, host: 0x600), alias(2, at: 2)]
        let table = try MemslotTable(backend: ModelBackend(present), installed: present)
        let wanted = [alias(nil, at: 1), slot(nil, at: 0, host: 0x600), alias(nil, at: 3)]
        let receipt = try table.submit(wanted)
        #expect(receipt.operations.count == 3)
        #expect(receipt.isOptimal)
    }

    @Test("an order that was not searched to its end is not called the shortest")
    func cutOff() {
        var random = SeededRandom(seed: 7)
        var unproved = 0
        for _ in 0..<300 {
            let sizes = (0..<12).map { _ in UInt64.random(in: 1...3, using: &random) }
            func packed(_ order: [Int]) -> [Memslot] {
                var page: UInt64 = 0
                var slots: [Memslot] = []
                for id in order {
                    slots.append(slot(UInt32(id), at: page, pages: sizes[id]))
                    page += sizes[id]
                }
                return slots.byKey
            }
            let order = Array(0..<12)
            let diff = MemslotDiff(
                from: packed(order), to: packed(order.shuffled(using: &random)))
            var effort = 0
            if !MoveOrder(diff.moved, effort: &effort).isMinimum { unproved += 1 }
        }
        #expect(unproved > 0)
    }

    @Test("a slot that is said to be installed has an id")
    func installedWithoutID() {
        #expect(throws: InvalidArray.self) {
            _ = try MemslotTable(backend: ModelBackend(), installed: [slot(nil, at: 0)])
        }
    }

    @Test("a slot of 2 MiB that no huge page can back is warned of, and a smaller one isn't")
    func hugePages() throws {
        let table = try MemslotTable(backend: ModelBackend())
        #expect(try table.submit([slot(0, at: 0, pages: 512, host: 0x1001)]).warnings.count == 1)
        #expect(try table.submit([slot(0, at: 0, pages: 511, host: 0x1001)]).warnings == [])
        #expect(try table.submit([slot(0, at: 0, pages: 512, host: 0x1000)]).warnings == [])
    }

    @Test("a plan says what a hook needs, and a receipt what was asked for")
    func quiesced() throws {
        final class Needing: MemslotHook {
            let name = "needing"
            let needsQuiescence = true

            func prepare(_ change: MemslotChange) throws(HookVeto) {}
            func commit(_ change: MemslotChange) {}
            func finish(_ change: MemslotChange) {}
            func abort(_ change: MemslotChange) {}
        }
        let table = try MemslotTable(backend: ModelBackend())
        #expect(try !table.plan([slot(0, at: 0)]).quiesced)
        #expect(
            try table.submit([slot(0, at: 0)], options: SubmitOptions(quiesce: .always)).quiesced)
        let hook = Needing()
        table.add(hook)
        #expect(try table.plan([slot(0, at: 0), slot(1, at: 1)]).quiesced)
        #expect(try table.submit([slot(0, at: 0), slot(1, at: 1)]).quiesced)
        table.remove(hook)
        #expect(try !table.submit([slot(0, at: 0), slot(1, at: 1), slot(2, at: 2)]).quiesced)
    }
}
