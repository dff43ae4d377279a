import Testing

@testable import Memslots

@Suite("translation of ranges")
struct RangeTranslationTests {
    private let table: MemslotTable
    private let reader: Box

    /// A noncopyable reader, as a device model has it.
    private final class Box {
        let reader: TableReader
        init(_ reader: consuming TableReader) { self.reader = reader }
    }

    init() throws {
        // Pages 0 to 3 and 4 to 5 side by side, a hole, 8 read-only, 9 after it; one in space 1.
        let slots = [
            slot(0, at: 0, pages: 4, host: 0x1000), slot(1, at: 4, pages: 2, host: 0x3000),
            slot(2, at: 8, host: 0x5000, flags: .readOnly), slot(3, at: 9, host: 0x7000),
            slot(0, at: 100, pages: 2, host: 0x9000, space: 1),
        ]
        table = try MemslotTable(backend: ModelBackend(slots), installed: slots)
        reader = Box(table.makeReader(as: "device"))
    }

    private func range(_ address: UInt64, _ size: UInt64) -> GuestRange {
        GuestRange(address: GuestPhysicalAddress(address), size: ByteCount(size))
    }

    private func pieces(
        _ ranges: [GuestRange], _ access: MemoryAccess = .read, space: UInt32 = 0, room: Int = 8
    ) -> Result<[HostSegment], TranslationError> {
        var buffer = Array(repeating: HostSegment.none, count: room)
        let space = AddressSpaceID(space)
        return reader.reader.read { view in
            do throws(TranslationError) {
                var span = buffer.mutableSpan
                let count = try view.translate(
                    ranges.span, for: access, in: space, into: &span)
                return .success(Array(buffer.prefix(count)))
            } catch {
                return .failure(error)
            }
        }
    }

    private func segment(_ address: UInt64, _ size: UInt64) -> HostSegment {
        HostSegment(userspaceAddress: UserspaceAddress(address), size: ByteCount(size))
    }

    @Test("one range over two slots is two pieces")
    func spans() throws {
        let wanted = [segment(0x100_3ff0, 0x10), segment(0x300_0000, 0x1008)]
        #expect(pieces([range(0x3ff0, 0x1018)], .write) == .success(wanted))
        var buffer = [HostSegment.none, .none]
        let count = try reader.reader.read { view throws(TranslationError) in
            var span = buffer.mutableSpan
            return try view.translate(range(0x3ff0, 0x1018), for: .read, into: &span)
        }
        #expect(count == 2 && buffer == wanted)
    }

    @Test("many ranges are the pieces of each, in order")
    func many() {
        let ranges = [range(0x9000, 8), range(0x1000, 0), range(0x3fff, 2), range(0x8ffe, 4)]
        #expect(
            pieces(ranges)
                == .success([
                    segment(0x700_0000, 8), segment(0x100_3fff, 1), segment(0x300_0000, 1),
                    segment(0x500_0ffe, 2), segment(0x700_0000, 2),
                ]))
    }

    @Test("the first address that no slot maps is reported, with the number of its range")
    func unmapped() {
        let hole = GuestPhysicalAddress(0x6000)
        #expect(pieces([range(0x5fff, 2)]) == .failure(.unmapped(hole, range: 0)))
        #expect(
            pieces([range(0, 1), range(0x6000, 1), range(1 << 60, 1)])
                == .failure(.unmapped(hole, range: 1)))
        // No slot reaches the last address.
        #expect(
            pieces([range(.max, 1)])
                == .failure(.unmapped(GuestPhysicalAddress(.max), range: 0)))
    }

    @Test("a range that wraps 2^64 is refused, whatever it begins with")
    func overflow() {
        #expect(pieces([range(0, 1), range(0x1000, .max)]) == .failure(.overflow(range: 1)))
        #expect(pieces([range(.max, 2)]) == .failure(.overflow(range: 0)))
        #expect(
            pieces([range(0, .max)])
                == .failure(.unmapped(GuestPhysicalAddress(0x6000), range: 0)))
    }

    @Test("a range without bytes has no pieces, wherever it is")
    func empty() {
        #expect(pieces([range(0x6000, 0), range(.max, 0)]) == .success([]))
        #expect(pieces([]) == .success([]))
    }

    @Test("writing to a read-only slot is refused at its first address")
    func readOnly() {
        #expect(pieces([range(0x8800, 0x1000)]) != .failure(.overflow(range: 0)))
        #expect(
            pieces([range(0x9000, 1), range(0x8800, 0x1000)], .write)
                == .failure(.readOnly(GuestPhysicalAddress(0x8800), range: 1)))
        let found = reader.reader.read { $0.translate(GuestPhysicalAddress(0x8000)) }
        #expect(found?.isWritable == false && found?.flags == .readOnly)
    }

    @Test("a buffer that is too small is reported, and not overrun")
    func bufferFull() {
        #expect(
            pieces([range(0, 1), range(0x3fff, 2)], room: 3) != .failure(.bufferFull(range: 1)))
        #expect(
            pieces([range(0, 1), range(0x3fff, 2)], room: 2) == .failure(.bufferFull(range: 1)))
        #expect(pieces([range(0, 1)], room: 0) == .failure(.bufferFull(range: 0)))
    }

    @Test("each address space has its own")
    func spaces() {
        #expect(
            pieces([range(0x64_0ffe, 2)], space: 1)
                == .failure(.unmapped(.init(0x64_0ffe), range: 0)))
        #expect(pieces([range(0x6_4ffe, 4)], space: 1) == .success([segment(0x900_0ffe, 4)]))
        #expect(pieces([range(0x6_4ffe, 4)]) != .success([segment(0x900_0ffe, 4)]))
        #expect(pieces([range(0, 1)], space: 1) != .success([segment(0x100_0000, 1)]))
        #expect(
            pieces([range(0, 1)], space: 7)
                == .failure(.unmapped(GuestPhysicalAddress(0), range: 0)))
    }
}
