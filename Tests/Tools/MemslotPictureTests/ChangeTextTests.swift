import MemslotPicture
import Memslots
import Testing

/// Every kind of change at once.
let changeBefore: [Memslot] = [
    slot(0, 0, 0xa0000),
    slot(1, 0x10_0000, gibibyte),
    slot(2, 0xfd00_0000, 16 * mebibyte),
    slot(3, 0xfffc_0000, 0x40000, flags: .readOnly),
    slot(4, 0xe000_0000, mebibyte),
]

/// What becomes of ``changeBefore``.
let changeAfter: [Memslot] = [
    slot(0, 0, 0xa0000),
    slot(1, 0x10_0000, gibibyte, flags: .logDirtyPages),
    slot(2, 0xf000_0000, 16 * mebibyte),
    slot(3, 0xfffc_0000, 0x40000),
    slot(5, 0x1_0000_0000, gibibyte),
]

/// How the change is called.
let changeMarks: [SlotKey: ChangeMark] = [
    SlotKey(id: SlotID(0)): .unchanged, SlotKey(id: SlotID(1)): .reflagged,
    SlotKey(id: SlotID(2)): .moved, SlotKey(id: SlotID(3)): .replaced,
    SlotKey(id: SlotID(4)): .removed, SlotKey(id: SlotID(5)): .added,
]

@Suite("change as text")
struct ChangeTextTests {
    private let picture = ChangePicture(
        before: changeBefore, after: changeAfter, marks: changeMarks)

    @Test("every kind of change")
    func golden() {
        #expect(
            picture.lines() == [
                "address space 0: before 5 slots, ~1 GiB; after 5 slots, ~2 GiB",
                "  guest physical                 size                            slot  flags  backing",
                "  0x000000000-0x00009ffff     640 KiB  █████████▋                   0         hva 0x7f0000000000",
                "  0x0000a0000-0x0000fffff     384 KiB  ┄┄┄┄┄┄┄┄┄                              hole",
                "~ 0x000100000-0x0400fffff       1 GiB  ██████████████████████▍      1  +log   hva 0x7f0000000000",
                "  0x040100000-0x0efffffff    2815 MiB  ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄               hole",
                "- 0x0e0000000-0x0e00fffff       1 MiB  ██████████▌                  4         hva 0x7f0000000000",
                "> 0x0f0000000-0x0f0ffffff      16 MiB  ███████████████▎             2         from 0xfd000000",
                "  0x0f1000000-0x0fffbffff  ~239.8 MiB  ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄                   hole",
                "- 0x0fffc0000-0x0ffffffff     256 KiB  ▒▒▒▒▒▒▒▒                     3  ro     hva 0x7f0000000000",
                "+ 0x0fffc0000-0x0ffffffff     256 KiB  ████████▎                    3         hva 0x7f0000000000",
                "+ 0x100000000-0x13fffffff       1 GiB  ██████████████████████▍      5         hva 0x7f0000000000",
                "",
                "+ 1 added  - 1 removed  > 1 moved  ~ 1 reflagged  -+ 1 replaced  1 unchanged",
            ])
    }

    @Test("a narrow terminal still shows the old address of a moved slot")
    func narrow() {
        let lines = picture.lines(TextOptions(width: 60))
        #expect(lines.contains { $0.hasPrefix("> ") && $0.hasSuffix("from 0xfd000000") })
    }

    @Test("an unchanged slot is dim, a removed one red")
    func colour() {
        let lines = picture.lines(TextOptions(usesColour: true))
        #expect(lines.contains { $0.hasPrefix("\u{1b}[31m- ") })
        #expect(lines[2].hasPrefix("\u{1b}[2m  "))
    }

    @Test("a mark that the arrays contradict is put right")
    func contradiction() {
        let one = [slot(0, 0, 4096)]
        let key = SlotKey(id: SlotID(0))
        func marks(_ before: [Memslot], _ after: [Memslot], _ mark: ChangeMark) -> [ChangeMark] {
            ChangePicture(before: before, after: after, marks: [key: mark]).counts.map(\.mark)
        }
        #expect(marks(one, [], .moved) == [.removed])
        #expect(marks([], one, .unchanged) == [.added])
        #expect(marks(one, one, .added) == [.replaced])
        #expect(marks(one, [slot(0, 4096, 4096)], .unchanged) == [.replaced])
    }

    @Test("no slots on either side, and slots without an id")
    func edges() {
        let none = ChangePicture(before: [], after: [], marks: [:])
        #expect(none.lines() == ["no slots before, no slots after"])
        let loose = [slot(.max, 0, 4096), slot(.max, 4096, 4096)]
        let lines = ChangePicture(before: [], after: loose, marks: [:]).lines()
        #expect(lines.last == "+ 2 added")
    }

    @Test("unchanged neighbours are folded before changed slots are")
    func folding() {
        var after = (0..<1000).map { slot(UInt32($0), UInt64($0) << 24, mebibyte) }
        let before = after
        after[500].flags = .logDirtyPages
        let marks = [after[500].assignedKey: ChangeMark.reflagged]
        let lines = ChangePicture(before: before, after: after, marks: marks)
            .lines(TextOptions(limit: 20))
        #expect(lines.count { $0.contains("unchanged slots") } == 2)
        #expect(lines.contains { $0.hasPrefix("~ ") && $0.contains("+log") })
        #expect(lines.last == "~ 1 reflagged  999 unchanged")
    }
}
