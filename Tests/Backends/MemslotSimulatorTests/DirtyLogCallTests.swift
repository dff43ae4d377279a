import MemslotSimulator
import Memslots
import Testing

@Suite("the dirty log calls")
struct DirtyLogCallTests {
    var kernel = SimulatedKernel()
    let key = SlotKey(id: SlotID(0))
    let plain = SlotKey(id: SlotID(1))
    let absent = SlotKey(id: SlotID(2))
    let outOfRange = SlotKey(id: SlotID(32_764))
    let otherSpace = SlotKey(addressSpace: AddressSpaceID(1), id: SlotID(0))

    init() throws {
        try kernel.setMemoryRegion(slot(0, page: 0, pages: 100, flags: .logDirtyPages))
        try kernel.setMemoryRegion(slot(1, page: 200))
        try kernel.touch(GuestPhysicalAddress(0), size: .pages(100))
    }

    mutating func clear(
        _ key: SlotKey, first: UInt64 = 0, count: UInt32 = 64, words: [UInt64]? = [~0, ~0]
    ) -> Errno? {
        errno { () throws(Errno) in
            try kernel.clearDirtyLog(of: key, firstPage: first, pageCount: count, words: words)
        }
    }

    @Test("no pages behind the last one can be cleared, which does nothing, and none past that")
    mutating func clearingAtTheEnd() throws {
        try kernel.setMemoryRegion(slot(3, page: 300, pages: 64, flags: .logDirtyPages))
        let whole = SlotKey(id: SlotID(3))
        #expect(clear(whole, first: 64, count: 0) == nil)
        #expect(clear(whole, first: 64, count: 64) == .invalidArgument)
        #expect(clear(whole, first: 128, count: 0) == .invalidArgument)
    }

    @Test("reading clears under automatic protection, and not under manual")
    mutating func reading() throws {
        #expect(try kernel.getDirtyLog(of: key).count == 100)
        #expect(try kernel.getDirtyLog(of: key).isEmpty)
        try kernel.setManualDirtyLogProtect(1)
        try kernel.touch(GuestPhysicalAddress(4096), size: ByteCount(1))
        #expect(try kernel.getDirtyLog(of: key).runs == [1..<2])
        #expect(try kernel.getDirtyLog(of: key).runs == [1..<2])
    }

    @Test("a bitmap that can't be written loses the bits under automatic protection only")
    mutating func lostBits() throws {
        try kernel.setManualDirtyLogProtect(1)
        for expected in [100, 0] as [UInt64] {
            #expect(throws: Errno.badAddress) {
                try kernel.getDirtyLog(of: key, destinationIsWritable: false)
            }
            #expect(try kernel.getDirtyLog(of: key).count == expected)
            try kernel.setManualDirtyLogProtect(0)
        }
    }

    @Test("reading checks the id, then the slot, then the memory")
    mutating func readingOrder() {
        for (key, expected) in [
            (outOfRange, Errno.invalidArgument), (otherSpace, .invalidArgument),
            (absent, .noEntry), (plain, .noEntry), (key, .badAddress),
        ] {
            #expect(throws: expected) {
                try kernel.getDirtyLog(of: key, destinationIsWritable: false)
            }
        }
    }

    @Test("clearing checks the id, the first page, the slot, the range, then the memory")
    mutating func clearingOrder() {
        #expect(clear(outOfRange) == .invalidArgument)
        #expect(clear(absent, first: 1) == .invalidArgument)
        #expect(clear(absent, first: 64, words: nil) == .noEntry)
        #expect(clear(plain, words: nil) == .noEntry)
        #expect(clear(key, first: 128, count: 0, words: nil) == .invalidArgument)
        #expect(clear(key, first: 0, count: 101, words: nil) == .invalidArgument)
        #expect(clear(key, first: 0, count: 99, words: nil) == .invalidArgument)
        #expect(clear(key, first: 64, count: 37, words: nil) == .invalidArgument)
        #expect(clear(key, first: 64, count: 36, words: nil) == .badAddress)
        #expect(clear(key, first: 0, count: 100, words: [0]) == .badAddress)
        #expect(clear(key, first: 0, count: 0, words: nil) == nil)
        #expect(kernel.dirtyPages(of: 0) == [0..<100])
    }

    @Test("clearing clears the bits that are set, under every protection", arguments: [0, 1])
    mutating func clearing(protection: UInt64) throws {
        try kernel.setManualDirtyLogProtect(protection)
        #expect(clear(key, first: 64, count: 36, words: [0b101]) == nil)
        #expect(clear(key, first: 0, count: 64, words: [1 << 63]) == nil)
        #expect(kernel.dirtyPages(of: 0) == [0..<63, 65..<66, 67..<100])
    }

    @Test("manual protection accepts 0, 1 and 3", arguments: 0...8)
    mutating func protections(argument: UInt64) {
        let answer = errno { () throws(Errno) in
            try kernel.setManualDirtyLogProtect(argument)
        }
        #expect(answer == ([0, 1, 3].contains(argument) ? nil : .invalidArgument))
    }
}
