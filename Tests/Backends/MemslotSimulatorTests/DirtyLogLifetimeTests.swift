import MemslotSimulator
import Memslots
import Testing

@Suite("the lifetime of a dirty log")
struct DirtyLogLifetimeTests {
    var kernel = SimulatedKernel(dirtyLogProtection: .manual)
    let logging = slot(0, page: 16, pages: 8, flags: .logDirtyPages)

    /// A logging slot at page 16 whose pages 1 and 2 are dirty.
    init() throws {
        try kernel.setMemoryRegion(logging)
        try kernel.touch(GuestPhysicalAddress(17 * 4096), size: ByteCount(8192))
    }

    @Test("calls that change nothing keep it")
    mutating func unchanged() throws {
        try kernel.setMemoryRegion(logging)
        #expect(kernel.dirtyPages(of: 0) == [1..<3])
    }

    @Test("a move keeps it, page by page of the slot")
    mutating func move() throws {
        try kernel.setMemoryRegion(slot(0, page: 40, pages: 8, flags: .logDirtyPages))
        #expect(kernel.dirtyPages(of: 0) == [1..<3])
        try kernel.touch(GuestPhysicalAddress(45 * 4096), size: ByteCount(1))
        #expect(kernel.dirtyPages(of: 0) == [1..<3, 5..<6])
    }

    @Test("a refused move keeps it")
    mutating func refusedMove() throws {
        let beyond = slot(0, page: 1 << 40, pages: 8, flags: .logDirtyPages)
        #expect(kernel.errno(of: beyond) == .invalidArgument)
        try kernel.setMemoryRegion(slot(1, page: 64))
        #expect(kernel.errno(of: slot(0, page: 60, pages: 8)) == .fileExists)
        #expect(kernel.dirtyPages(of: 0) == [1..<3])
    }

    @Test("deleting and creating loses it")
    mutating func recreation() throws {
        try kernel.setMemoryRegion(logging.deletion)
        #expect(kernel.dirtyPages(of: 0) == nil)
        try kernel.setMemoryRegion(logging)
        #expect(kernel.dirtyPages(of: 0) == [])
    }

    @Test("switching logging off and on starts an empty log, also by moves")
    mutating func offAndOn() throws {
        try kernel.setMemoryRegion(slot(0, page: 16, pages: 8))
        #expect(kernel.dirtyPages(of: 0) == nil)
        try kernel.setMemoryRegion(logging)
        #expect(kernel.dirtyPages(of: 0) == [])

        try kernel.touch(GuestPhysicalAddress(16 * 4096), size: ByteCount(1))
        try kernel.setMemoryRegion(slot(0, page: 40, pages: 8))
        #expect(kernel.dirtyPages(of: 0) == nil)
        try kernel.setMemoryRegion(logging)
        #expect(kernel.dirtyPages(of: 0) == [])
    }

    @Test("initially set, a new log has every page of the slot and no more")
    mutating func initiallySet() throws {
        try kernel.setManualDirtyLogProtect(3)
        // An existing log does not change.
        #expect(kernel.dirtyPages(of: 0) == [1..<3])
        try kernel.setMemoryRegion(slot(0, page: 16, pages: 8))
        try kernel.setMemoryRegion(logging)
        #expect(kernel.dirtyPages(of: 0) == [0..<8])
        try kernel.setMemoryRegion(slot(1, page: 100, pages: 40_000, flags: .logDirtyPages))
        #expect(kernel.dirtyPages(of: 1) == [0..<40_000])
        // A move of a slot that still logs keeps its log.
        let key = SlotKey(id: SlotID(0))
        try kernel.clearDirtyLog(of: key, firstPage: 0, pageCount: 8, words: [0b11])
        try kernel.setMemoryRegion(slot(0, page: 40, pages: 8, flags: .logDirtyPages))
        #expect(kernel.dirtyPages(of: 0) == [2..<8])
    }
}
