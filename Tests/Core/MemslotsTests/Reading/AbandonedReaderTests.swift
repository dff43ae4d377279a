import Synchronization
import Testing

@testable import Memslots

@Suite("readers that are abandoned, or gone")
struct AbandonedReaderTests {
    private let table: MemslotTable
    private static let array = [slot(0, at: 0)]

    init() throws {
        table = try MemslotTable(backend: ModelBackend(Self.array), installed: Self.array)
    }

    /// A reader that is inside until it is asked to leave.
    private struct Inside {
        let thread: TestThread
        let mayLeave = Signal()
        private let record = Shared<ReaderRecord?>(nil)

        /// Whether a submit waits for it.
        var isAwaited: Bool {
            record.value?.lines.pointee.isAwaited.load(ordering: .acquiring) ?? false
        }

        /// Whether it has not left yet.
        var isInside: Bool {
            record.value.map { $0.lines.pointee.ticket.load(ordering: .acquiring) & 1 == 1 }
                ?? false
        }

        init(_ table: MemslotTable, as name: String) {
            let (isInside, mayLeave, record) = (Signal(), mayLeave, record)
            thread = TestThread {
                let reader = table.makeReader(as: name)
                record.update { [own = reader.record] in $0 = own }
                reader.read { _ in
                    isInside.send()
                    mayLeave.wait()
                }
            }
            isInside.wait()
        }

        func end() {
            mayLeave.send()
            #expect(thread.join())
        }
    }

    @Test("only those of the name, and only those that are inside")
    func names() {
        let (a, b) = (Inside(table, as: "a"), Inside(table, as: "b"))
        let outside = table.makeReader(as: "outside")
        #expect(table.abandonReaders(named: "outside") == 0)
        #expect(table.abandonReaders(named: "nobody") == 0)
        #expect(table.pair.readers.count == 3)
        #expect(table.abandonReaders(named: "a") == 1)
        #expect(table.pair.readers.count == 2)
        a.end()
        b.end()
        outside.read { #expect($0.generation == Generation(0)) }
    }

    @Test("a submit that waits for one goes on at once")
    func goesOn() {
        let stay = Inside(table, as: "stuck")
        let readers = table.pair.readers
        let stays = readers.openVisits()
        #expect(stays.count == 1)
        // As a submit waits, but without the end that a submit's deadline has.
        let submit = TestThread { #expect(readers.waitForEnd(of: stays, .never).isEmpty) }
        // It leaves word under the lock that it waits with, so that it waits once we have that.
        #expect(yieldThread { stay.isAwaited })
        #expect(table.abandonReaders(named: "stuck") == 1)
        #expect(submit.join())
        // It was not the reader's leaving, in the end, that woke the submit.
        #expect(stay.isInside)
        stay.end()
    }

    @Test("are not known any more when they are gone")
    func gone() {
        for _ in 0..<3 {
            let reader = table.makeReader(as: "short")
            reader.read { _ in }
        }
        #expect(table.pair.readers.count == 0)
    }

    @Test("an array that nobody was asked about yet is not retired, in no hook either")
    func duringFinish() throws {
        final class Looking: MemslotHook {
            let name = "looking"
            var needsQuiescence: Bool { false }
            let table = Shared<MemslotTable?>(nil)
            let unretired = Shared<[Int]>([])
            func finish(_ change: MemslotChange) {
                let arrays = table.value?.unretiredArrays.map(\.count) ?? []
                unretired.update { $0 = arrays }
            }

            func prepare(_ change: MemslotChange) throws(HookVeto) {}
            func commit(_ change: MemslotChange) {}
            func abort(_ change: MemslotChange) {}
        }
        let hook = Looking()
        hook.table.update { $0 = table }
        table.add(hook)
        try table.submit([])
        #expect(hook.unretired.value == [1])
        #expect(table.unretiredArrays.isEmpty)
        hook.table.update { $0 = nil }
    }

    @Test("a snapshot keeps its index, whatever is submitted meanwhile")
    func snapshots() throws {
        var kept: [TableSnapshot] = []
        for page in 1..<9 as Range<UInt64> {
            kept.append(table.snapshot())
            try table.submit([slot(0, at: page), slot(1, at: page + 100)])
        }
        for (page, snapshot) in kept.enumerated() {
            let address = GuestPhysicalAddress(UInt64(page) << 12)
            #expect(snapshot.array.slot(at: address)?.id == SlotID(0))
            #expect(snapshot.array.slotsByAddress.first?.guestPhysicalAddress == address)
        }
    }

    @Test("a translation has all flags of its slot")
    func flags() throws {
        let table = try MemslotTable(backend: ModelBackend())
        let all: [MemslotFlags] = [[], .logDirtyPages, .readOnly, .guestMemfd]
        try table.submit(
            all.enumerated().map { index, flags in
                slot(
                    UInt32(index), at: UInt64(index), flags: flags,
                    guestMemfd: flags == .guestMemfd ? .own : nil)
            })
        let reader = table.makeReader(as: "flags")
        reader.read { view in
            for (index, flags) in all.enumerated() {
                let address = GuestPhysicalAddress(UInt64(index) << 12)
                #expect(view.translate(address)?.flags == flags)
            }
        }
    }

    @Test("the byte after a slot is not in it, looked for first or after another of the slot")
    func byteAfter() {
        let reader = table.makeReader(as: "end")
        reader.read { view in
            #expect(view.translate(GuestPhysicalAddress(4096)) == nil)
            #expect(view.translate(GuestPhysicalAddress(4095)) != nil)
            #expect(view.translate(GuestPhysicalAddress(4096)) == nil)
        }
    }
}
