import Memslots
import Testing

@testable import MemslotPicture

@Suite("folding")
struct FoldingTests {
    private func item(_ likeness: Int?, weight: UInt64 = 0) -> FoldItem<Int> {
        FoldItem(likeness: likeness, rows: 1, weight: weight)
    }

    @Test("nothing is folded that fits")
    func fits() {
        let items = Array(repeating: item(1), count: 20)
        #expect(folded(items, limit: 20) == (0..<20).map { .item($0) })
        #expect(folded(items, limit: nil) == (0..<20).map { .item($0) })
    }

    @Test("a run of like neighbours is folded between its ends")
    func runs() {
        let items = [item(0)] + Array(repeating: item(1), count: 20) + [item(nil), item(nil)]
        #expect(
            folded(items, limit: 10) == [
                .item(0), .item(1), .fold(2..<20), .item(20), .item(21), .item(22),
            ])
    }

    @Test("where nothing is alike, the weightiest stay")
    func weights() {
        let items = (0..<50).map { item(nil, weight: $0 == 7 || $0 == 30 ? 9 : 1) }
        let pieces = folded(items, limit: 8)
        #expect(pieces.contains(.item(7)) && pieces.contains(.item(30)))
        #expect(pieces.count <= 8)
    }

    @Test("the pieces cover everything once and keep the limit")
    func cover() {
        var random = RandomMaps(seed: 5)
        for _ in 0..<500 {
            let count = Int.random(in: 0...200, using: &random)
            let kinds = Int.random(in: 1...4, using: &random)
            let items = (0..<count).map { _ in
                FoldItem(
                    likeness: Int.random(in: 0...kinds, using: &random),
                    rows: Int.random(in: 1...3, using: &random),
                    weight: UInt64.random(in: 0...9, using: &random))
            }
            let limit = Int.random(in: 8...60, using: &random)
            let pieces = folded(items, limit: limit)
            let covered = pieces.flatMap { Array($0.range) }
            let rows = pieces.reduce(0) { sum, piece in
                guard case .item(let index) = piece else { return sum + 1 }
                return sum + items[index].rows
            }
            guard covered == Array(0..<count), rows <= limit else {
                Issue.record("\(count) items folded to \(rows) of \(limit) rows: \(pieces)")
                return
            }
        }
    }

    @Test("32,764 slots are a few lines that add up")
    func thousands() {
        let slots = (0..<32_764).map { slot(UInt32($0), UInt64($0) << 24, 8 * mebibyte) }
        let lines = MapPicture(slots: slots).lines(TextOptions(limit: 20))
        #expect(
            lines == [
                "address space 0: 32764 slots, ~256 GiB; 32763 holes, ~256 GiB",
                "  guest physical              size                             slot  backing",
                "  0x0000000000-0x00007fffff  8 MiB  ████████████████████████      0  hva 0x7f0000000000",
                "  0x0000800000-0x0000ffffff  8 MiB  ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄         hole",
                "  0x0001000000-0x00017fffff  8 MiB  ████████████████████████      1  hva 0x7f0000000000",
                "  0x0002000000-0x7ffa7fffff  … 32761 more slots, 8 MiB each, ids 2–32762, 32761 holes of 8 MiB …",
                "  0x7ffa800000-0x7ffaffffff  8 MiB  ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄         hole",
                "  0x7ffb000000-0x7ffb7fffff  8 MiB  ████████████████████████  32763  hva 0x7f0000000000",
            ])
    }

    @Test("a group says which of a range of ids it has")
    func ids() {
        func text(_ ids: [UInt32]) -> String {
            SlotGroup(ids.map { MapItem(slot: slot($0, 0, 4096)) }).idText
        }
        #expect(text([5]) == "id 5")
        #expect(text([3, 1, 2]) == "ids 1–3")
        #expect(text([3, 1, 9]) == "ids within 1–9")
    }
}
