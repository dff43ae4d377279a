import Memslots
import Testing

@testable import MemslotTrace

@Suite("edges of what is traced")
struct TraceEdgeTests {
    private func number(_ text: String) -> UInt64? {
        var scanner = ByteScanner(Array(text.utf8)[...])
        return scanner.number()
    }

    @Test("a number of more than 64 bits is none")
    func numbers() {
        #expect(number("0xffffffffffffffff") == .max)
        #expect(number("0x10000000000000000") == nil)
        #expect(number("0x1ffffffffffffffff") == nil)
        #expect(number("18446744073709551615") == .max)
        #expect(number("18446744073709551616") == nil)
        #expect(number("28446744073709551616") == nil)
    }

    private func region(_ id: UInt32, _ page: UInt64, _ pages: UInt64) -> RawRegion {
        RawRegion(
            slot: id, flags: 0, guestPhysicalAddress: page << 12, memorySize: pages << 12,
            userspaceAddress: 0x7f00_0000_0000 + page << 12)
    }

    @Test("a slot that reaches a page into a new one is in its way, one that touches it isn't")
    func overlaps() {
        var table = SlotTable()
        _ = table.apply(region(0, 0, 2))
        let touching = table.apply(region(1, 2, 1))
        #expect(touching.surprise == nil)
        let reaching = table.apply(region(2, 1, 1))
        #expect(reaching.removed.map(\.id) == [SlotID(0)])
        #expect(table.slots.map(\.id) == [SlotID(1), SlotID(2)])
    }
}
