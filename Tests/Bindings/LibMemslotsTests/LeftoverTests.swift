import CMemslots
import Testing

@testable import LibMemslots

@Suite("leftovers of the C interface")
struct LeftoverTests {
    /// The index of the place that the next handle gets.
    private func nextPlace() throws -> UInt64 {
        let table = try SimulatedTable()
        return table.handle.value & 0xf_ffff
    }

    @Test("places of closed handles are reused")
    func places() throws {
        let before = try nextPlace()
        for _ in 0..<4_000 { _ = try SimulatedTable() }
        #expect(try nextPlace() < before + 2_000)
    }

    @Test("a refused submit leaves no receipt open")
    func receipts() throws {
        let table = try SimulatedTable()
        let before = try nextPlace()
        var wrong = slot(0, at: 0)
        wrong.size = 1
        for _ in 0..<4_000 {
            var receipt = receipt()
            try #require(
                memslots_submit(table.handle, &wrong, 1, nil, &receipt) != MEMSLOTS_OK)
        }
        #expect(try nextPlace() < before + 2_000)
    }

    @Test("a copy of a view that was left can be neither read nor left")
    func views() throws {
        let table = try SimulatedTable()
        #expect(table.submit(slot(0, at: 0)) == Int(MEMSLOTS_OK))
        var reader = memslots_reader()
        try #require(memslots_reader_open(table.handle, "reader", &reader) == MEMSLOTS_OK)
        defer { _ = memslots_reader_close(reader) }
        var view = memslots_view()
        try #require(memslots_reader_enter(reader, &view) == MEMSLOTS_OK)
        var again = memslots_view()
        #expect(memslots_reader_enter(reader, &again) == MEMSLOTS_NOT_INSIDE)
        var copy = view
        var span = memslots_span()
        var count = 0
        #expect(memslots_view_translate(&copy, 0, 0, 1, &span, 1, &count) == MEMSLOTS_OK)
        #expect(memslots_reader_leave(&view) == MEMSLOTS_OK)
        #expect(memslots_view_translate(&copy, 0, 0, 1, &span, 1, &count) == MEMSLOTS_NOT_INSIDE)
        #expect(memslots_reader_leave(&copy) == MEMSLOTS_NOT_INSIDE)
        // The same reader enters again, with another ticket.
        try #require(memslots_reader_enter(reader, &view) == MEMSLOTS_OK)
        #expect(memslots_view_translate(&copy, 0, 0, 1, &span, 1, &count) == MEMSLOTS_NOT_INSIDE)
        #expect(memslots_reader_leave(&copy) == MEMSLOTS_NOT_INSIDE)
        #expect(memslots_reader_leave(&view) == MEMSLOTS_OK)
    }

    @Test("a translation reaches from the address to the end of its slot")
    func spans() throws {
        let table = try SimulatedTable()
        #expect(table.submit(slot(3, at: 16, pages: 4)) == Int(MEMSLOTS_OK))
        var span = memslots_span()
        #expect(memslots_translate(table.handle, 0, 17 * 4_096 + 5, &span) == MEMSLOTS_OK)
        #expect(span.size == 3 * 4_096 - 5)
        #expect(span.slot == 3)
        #expect(span.guest_physical_address == 17 * 4_096 + 5)
        #expect(UInt(bitPattern: span.address) == 0x7000_0000_0000 + 17 * 4_096 + 5)
    }
}
