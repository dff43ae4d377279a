import Testing

@testable import Memslots

@Suite("the dirty log of memory that several slots map", .serialized)
struct MemoryLogTests {
    private let backend = ModelBackend()
    private let table: MemslotTable

    /// Object 1 has 16 pages: slots 0 and 1 map 0 to 7 and 4 to 11, in two address spaces; slot 2
    /// maps 10 to 13 and does not log. Slot 3 is of another object.
    init() throws {
        table = try MemslotTable(backend: backend)
        func part(_ id: UInt32, _ first: UInt64, _ pages: UInt64, of object: UInt32 = 1) -> Memslot
        {
            slot(
                id, at: UInt64(id) * 64, pages: pages,
                flags: id == 2 ? [] : .logDirtyPages, space: id == 1 ? 1 : 0,
                memory: MemoryReference(object: MemoryObjectID(object), offset: .pages(first)))
        }
        try table.submit([part(0, 0, 8), part(1, 4, 8), part(2, 10, 4), part(3, 0, 8, of: 2)])
    }

    private func log(
        _ pages: Range<UInt64> = 0..<16, clear: Bool = false, object: UInt32 = 1
    ) throws(DirtyLogError) -> (dirty: [UInt64], logged: UInt64)? {
        let log = try table.dirtyLog(ofMemoryPages: pages, of: 16, clear: clear) { slot in
            slot.memory?.object.rawValue == object ? slot.memory?.offset : nil
        }
        return log.map { ($0.bitmap.runs.flatMap { Array($0) }, $0.logged.count) }
    }

    private func write(_ pages: [UInt64], _ id: UInt32, space: UInt32 = 0) {
        backend.write(pages, to: SlotKey(addressSpace: AddressSpaceID(space), id: SlotID(id)))
    }

    @Test("a page is dirty once, whichever slots it was written through")
    func union() throws {
        write([1, 5], 0)
        write([1, 7], 1, space: 1)
        write([2], 3)
        let all = try #require(try log())
        #expect(all.dirty == [1, 5, 11] && all.logged == 12)
        let part = try #require(try log(5..<11))
        #expect(part.dirty == [5] && part.logged == 6)
        let unlogged = try #require(try log(12..<16))
        #expect(unlogged.dirty == [] && unlogged.logged == 0)
        #expect(try log(object: 9) == nil)
    }

    @Test("clear clears exactly the returned pages, in every slot")
    func clear() throws {
        write([1, 5], 0)
        write([1, 7], 1, space: 1)
        #expect(try log(4..<8, clear: true)?.dirty == [5])
        #expect(try log()?.dirty == [1, 11])
        let left = try table.dirtyPages()
        #expect(left[SlotKey(id: 0)] == [1])
        #expect(left[SlotKey(addressSpace: 1, id: 1)] == [7])
        #expect(try log(clear: true)?.dirty == [1, 11])
        #expect(try log()?.dirty == [])
    }

    @Test("a log that can't be read loses no bit of those that were")
    func refused() throws {
        write([1], 0)
        write([7], 1, space: 1)
        backend.state.withLock { $0.logReadsUntilRefusal = 1 }
        #expect(throws: DirtyLogError.backend(.ioError)) { try log(clear: true) }
        backend.state.withLock { $0.logReadsUntilRefusal = nil }
        #expect(try log()?.dirty == [1, 11])
    }

    @Test("slots outside of the wanted pages are not read, and nothing else is cleared")
    func partsOnly() throws {
        write([1], 0)
        let before = backend.state.withLock { $0.logReads }
        #expect(try log(9..<12, clear: true)?.dirty == [])
        #expect(backend.state.withLock { $0.logReads } == before + 1)
        #expect(try log()?.dirty == [1])
    }
}
