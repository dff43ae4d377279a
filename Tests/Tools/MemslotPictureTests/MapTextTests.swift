import MemslotPicture
import Memslots
import Testing

@Suite("memory map as text")
struct MapTextTests {
    @Test("a small map, 100 columns wide")
    func golden() {
        let lines = MapPicture(slots: smallPC, names: [MemoryObjectID(1): "ram"]).lines()
        #expect(
            lines == [
                "address space 0: 4 slots, ~2 GiB; 2 holes, ~4 GiB",
                "  guest physical                size                            slot  flags  backing",
                "  0x000000000-0x00009ffff    640 KiB  █████████▍                   0         hva 0x7f0000000000",
                "  0x0000a0000-0x0fcffffff     ~4 GiB  ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄               hole",
                "  0x0fd000000-0x0fdffffff     16 MiB  ██████████████▉              2  log    hva 0x7ffe00000000",
                "  0x0fe000000-0x0fffbffff  ~31.8 MiB  ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄                       hole",
                "  0x0fffc0000-0x0ffffffff    256 KiB  ▒▒▒▒▒▒▒▒                     1  ro     hva 0x7fff00000000",
                "  0x100000000-0x17fffffff      2 GiB  ██████████████████████▉      3         ram +0x80000000",
            ])
    }

    @Test("a small map, 60 columns wide")
    func narrow() {
        let lines = MapPicture(slots: smallPC).lines(TextOptions(width: 60))
        #expect(
            lines == [
                "address space 0: 4 slots, ~2 GiB; 2 holes, ~4 GiB",
                "  guest physical       size         slot  flags  backing",
                "  0x000000000    640 KiB  █▉        0         0x7f0000000000",
                "  0x0000a0000     ~4 GiB  ┄┄┄┄┄               hole",
                "  0x0fd000000     16 MiB  ███       2  log    0x7ffe00000000",
                "  0x0fe000000  ~31.8 MiB  ┄┄┄                 hole",
                "  0x0fffc0000    256 KiB  ▒▒        1  ro     0x7fff00000000",
                "  0x100000000      2 GiB  ████▊     3         memory 1 +0x8…",
            ])
    }

    @Test("an array without slots says so")
    func empty() {
        #expect(MapPicture(slots: []).lines() == ["no slots"])
    }

    @Test("a slot that ends at 2^52, and one of 2^43 bytes at 0 with the last id")
    func extremes() {
        let slots = [
            slot(32_763, 0, 1 << 43),
            slot(0, 1 << 52 - 4096, 4096, flags: [.logDirtyPages, .readOnly, .guestMemfd]),
        ]
        #expect(
            MapPicture(slots: slots).lines() == [
                "address space 0: 2 slots, ~8 TiB; 1 hole, ~4 PiB",
                "  guest physical                     size                      slot  flags        backing",
                "  0x0000000000000-0x007ffffffffff   8 TiB  █████████████▎     32763               hva 0x7f0000000000",
                "  0x0080000000000-0xfffffffffefff  ~4 PiB  ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄                      hole",
                "  0xffffffffff000-0xfffffffffffff   4 KiB  ▒                      0  log ro gmem  hva 0x7f0000000000",
            ])
    }

    @Test("what no kernel would take is still drawn")
    func nonsense() {
        let slots = [
            slot(.max, .max - 4095, .max), slot(7, .max, 0), slot(7, 0, .max), slot(7, 4096, 4096),
        ]
        let lines = MapPicture(slots: slots).lines()
        #expect(lines.count == 2 + 4)
        #expect(lines.contains { $0.contains("auto") })
        #expect(MapPicture(slots: slots).svg().contains("auto"))
    }

    @Test("the rows of each address space name each slot once and tile it without a gap")
    func tiling() throws {
        for seed in 0..<40 as Range<UInt64> {
            var random = RandomMaps(seed: seed)
            let slots = random.map(count: 30)
            let lines = MapPicture(slots: slots).lines(TextOptions(width: 140, limit: nil))
            var seen: Set<SlotKey> = []
            for (space, part) in lines.split(separator: "").enumerated() {
                #expect(part.first?.hasPrefix("address space \(space):") == true)
                var next: UInt64 = 0
                for line in part.dropFirst(2) {
                    let row = try #require(Row(line))
                    #expect(row.first == next, "\(line)")
                    next = row.last &+ 1
                    guard let id = row.id else { continue }
                    seen.insert(SlotKey(addressSpace: AddressSpaceID(UInt32(space)), id: id))
                }
            }
            #expect(seen == Set(slots.map(\.assignedKey)))
        }
    }

    @Test("no line is wider than the terminal", arguments: [20, 40, 60, 61, 79, 80, 100, 140])
    func widths(_ width: Int) {
        for seed in 0..<20 as Range<UInt64> {
            var random = RandomMaps(seed: seed)
            let before = random.map(count: 20)
            let after = random.map(count: 20)
            let options = TextOptions(width: width, limit: 25)
            let lines =
                MapPicture(slots: before).lines(options)
                + ChangePicture(before: before, after: after, marks: [:]).lines(options)
            #expect(lines.allSatisfy { $0.count <= width })
        }
    }

    @Test("colour changes nothing but the colour")
    func colour() {
        let picture = MapPicture(slots: smallPC)
        let plain = picture.lines().map(withoutTrailingSpaces)
        let coloured = picture.lines(TextOptions(usesColour: true))
        #expect(coloured.contains { $0.contains("\u{1b}[33m") })
        #expect(coloured.map(withoutColour).map(withoutTrailingSpaces) == plain)
    }

    @Test("a name can't command the terminal")
    func names() {
        let memory = MemoryReference(object: MemoryObjectID(9), offset: .zero)
        let lines = MapPicture(
            slots: [slot(0, 0, 4096, memory: memory)],
            names: [MemoryObjectID(9): "\u{1b}]0;x\u{7}\n\u{202e}y"]
        ).lines()
        #expect(lines.last?.hasSuffix("?]0;x???y +0x0") == true)
    }

    /// A row as `0x…-0x…  size  bar  id  …`.
    private struct Row {
        var first: UInt64
        var last: UInt64
        var id: SlotID?

        init?(_ line: String) {
            let words = line.split(separator: " ")
            let range = words[0].split(separator: "-").compactMap {
                UInt64($0.dropFirst(2), radix: 16)
            }
            guard range.count == 2, words.count > 4 else { return nil }
            (first, last) = (range[0], range[1])
            guard words[4] != "hole" else { return }
            guard let number = UInt32(words[4]) else { return nil }
            id = SlotID(number)
        }
    }
}

/// The text without ANSI sequences.
func withoutColour(_ text: String) -> String {
    text.split(separator: "\u{1b}[", omittingEmptySubsequences: false).enumerated()
        .map { $0.offset == 0 ? $0.element : $0.element.drop { $0 != "m" }.dropFirst() }
        .joined()
}

/// The text without spaces at its end.
func withoutTrailingSpaces(_ text: String) -> String {
    String(text.reversed().drop { $0 == " " }.reversed())
}
