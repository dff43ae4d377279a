import MemslotSimulator
import Memslots
import Testing

@Suite("a guest's writes")
struct GuestTouchTests {
    var kernel = SimulatedKernel(
        capabilities: Capabilities(addressSpaces: 2, maxGuestPage: (1 << 52) - 1),
        dirtyLogProtection: .manual)

    /// Pages 16-19 log, 20-23 don't, 24-27 log, 28-31 are read-only, 40-43 log.
    init() throws {
        try kernel.setMemoryRegion(slot(0, page: 16, flags: .logDirtyPages))
        try kernel.setMemoryRegion(slot(1, page: 20))
        try kernel.setMemoryRegion(slot(2, page: 24, flags: .logDirtyPages))
        try kernel.setMemoryRegion(slot(3, page: 28, flags: [.readOnly, .logDirtyPages]))
        try kernel.setMemoryRegion(slot(4, page: 40, flags: .logDirtyPages))
    }

    mutating func touch(_ address: UInt64, _ size: UInt64, space: UInt32 = 0) -> TouchError? {
        do throws(TouchError) {
            try kernel.touch(
                GuestPhysicalAddress(address), size: ByteCount(size), in: AddressSpaceID(space))
            return nil
        } catch {
            return error
        }
    }

    @Test("every page of the range is dirty, across slots, except in slots that do not log")
    mutating func acrossSlots() {
        #expect(touch(19 * 4096 - 1, 5 * 4096 + 2) == nil)
        #expect(kernel.dirtyPages(of: 0) == [2..<4])
        #expect(kernel.dirtyPages(of: 1) == nil)
        #expect(kernel.dirtyPages(of: 2) == [0..<1])
        #expect(touch(16 * 4096, 1) == nil)
        #expect(kernel.dirtyPages(of: 0) == [0..<1, 2..<4])
        #expect(kernel.dirtyPages(of: 4) == [])
    }

    @Test("the first unmapped or read-only page is reported, and no page is marked")
    mutating func refusals() {
        let page = { GuestPhysicalAddress($0 * 4096) }
        let readOnly = TouchError.readOnly(address: page(28), slot: SlotKey(id: SlotID(3)))
        #expect(touch(26 * 4096, 4 * 4096) == readOnly)
        #expect(touch(26 * 4096, 20 * 4096) == readOnly)
        #expect(touch(15 * 4096 + 5, 20 * 4096) == .unmapped(address: page(15).advanced(5)))
        #expect(touch(43 * 4096, 4097) == .unmapped(address: page(44)))
        #expect(
            touch(28 * 4096 + 9, 1)
                == .readOnly(address: page(28).advanced(9), slot: SlotKey(id: SlotID(3))))
        for id in [0, 2, 3, 4] as [UInt32] { #expect(kernel.dirtyPages(of: id) == []) }
    }

    @Test("a range that wraps extends to the last page, which no slot can contain")
    mutating func wrapping() throws {
        let lastPage = UInt64(1 << 52) - 1
        try kernel.setMemoryRegion(
            slot(5, page: lastPage - 1, pages: 1, flags: .logDirtyPages))
        let last = GuestPhysicalAddress(lastPage * 4096)
        #expect(touch((lastPage - 1) * 4096, 8192) == .unmapped(address: last))
        #expect(touch((lastPage - 1) * 4096, .max) == .unmapped(address: last))
        #expect(touch(.max, 1) == .unmapped(address: GuestPhysicalAddress(.max)))
        #expect(touch((lastPage - 1) * 4096, 4096) == nil)
        #expect(kernel.dirtyPages(of: 5) == [0..<1])
    }

    @Test("a size of 0 marks nothing, and other address spaces are unmapped")
    mutating func nothing() {
        #expect(touch(0, 0) == nil)
        #expect(touch(16 * 4096, 1, space: 1) == .unmapped(address: GuestPhysicalAddress(0x10000)))
        #expect(touch(16 * 4096, 1, space: 9) == .unmapped(address: GuestPhysicalAddress(0x10000)))
        #expect(kernel.dirtyPages(of: 0) == [])
    }

    @Test("the kinds are those of the wire")
    func kinds() {
        let address = GuestPhysicalAddress(0)
        #expect(TouchError.unmapped(address: address).kind == "unmapped")
        #expect(
            TouchError.readOnly(address: address, slot: SlotKey(id: SlotID(0))).kind
                == "read-only")
    }
}

extension GuestPhysicalAddress {
    fileprivate func advanced(_ count: UInt64) -> GuestPhysicalAddress {
        GuestPhysicalAddress(rawValue + count)
    }
}
