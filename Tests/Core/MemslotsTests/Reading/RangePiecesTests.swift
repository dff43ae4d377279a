import MemslotTestKit
import Testing

@testable import Memslots

@Suite("the pieces of a range")
struct RangePiecesTests {
    private struct Piece: Equatable {
        var slot: Memslot?
        var address: UInt64
        var size: UInt64
    }

    private func pieces(
        _ array: MemslotArray, _ address: UInt64, _ size: UInt64, space: UInt32 = 0,
        most: Int = .max
    ) -> [Piece] {
        var pieces: [Piece] = []
        let range = GuestRange(address: GuestPhysicalAddress(address), size: ByteCount(size))
        array.forEachPiece(of: range, in: AddressSpaceID(space)) { slot, piece in
            pieces.append(
                Piece(slot: slot, address: piece.address.rawValue, size: piece.size.rawValue))
            return pieces.count < most
        }
        return pieces
    }

    @Test("each byte is in one piece, and the pieces are as few as slots and holes")
    func random() {
        var random = SeededRandom(seed: 7)
        for _ in 0..<300 {
            var slots: [Memslot] = []
            var page = random.next() % 3
            for id in 0..<UInt32(random.next() % 6) {
                let size = 1 + random.next() % 3
                slots.append(slot(id, at: page, pages: size))
                page += size + random.next() % 3
            }
            let array = MemslotArray(sortedByKey: slots)
            let (address, size) = (random.next() % 0xc000, random.next() % 0xc000)
            let found = pieces(array, address, size)
            var next = address
            for piece in found {
                #expect(piece.address == next && piece.size > 0)
                for address in [piece.address, piece.address + piece.size - 1] {
                    #expect(array.slot(at: GuestPhysicalAddress(address)) == piece.slot)
                }
                next += piece.size
            }
            #expect(next == address + size)
            #expect(zip(found, found.dropFirst()).allSatisfy { $0.slot != $1.slot })
        }
    }

    @Test("a range may end at 2^64, and no slot is needed")
    func edges() {
        let highest = slot(0, at: (1 << 52) - 2, pages: 1)
        let array = MemslotArray(sortedByKey: [highest])
        let end = UInt64.max - 0x1fff
        #expect(
            pieces(array, end - 1, 0x2001) == [
                Piece(slot: nil, address: end - 1, size: 1),
                Piece(slot: highest, address: end, size: 0x1000),
                Piece(slot: nil, address: end + 0x1000, size: 0x1000),
            ])
        #expect(pieces(array, .max, 1) == [Piece(slot: nil, address: .max, size: 1)])
        #expect(pieces(array, 0, .max).map(\.size) == [end, 0x1000, 0xfff])
        #expect(pieces(array, 1, .max).map(\.size) == [end - 1, 0x1000, 0x1000])
        #expect(pieces(array, 5, 0) == [] && pieces(array, .max, 0) == [])
        #expect(pieces(array, end, 16, space: 1).map(\.slot) == [nil])
        #expect(pieces(.empty, 7, 9) == [Piece(slot: nil, address: 7, size: 9)])
    }

    @Test("the first piece that is not wanted is the last")
    func stopped() {
        let array = MemslotArray(sortedByKey: (0..<4).map { slot($0, at: UInt64($0) * 2) })
        for most in 1...7 { #expect(pieces(array, 0, 0x7000, most: most).count == most) }
        #expect(pieces(array, 0, 0x8000).count == 8)
    }
}
