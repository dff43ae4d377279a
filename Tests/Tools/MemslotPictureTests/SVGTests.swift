import Foundation
import MemslotPicture
import Memslots
import Testing

#if canImport(FoundationXML)
    import FoundationXML
#endif

@Suite("SVG")
struct SVGTests {
    @Test("pictures are well-formed, with a tooltip a slot")
    func wellFormed() throws {
        let map = try SVGReader(MapPicture(slots: smallPC).svg())
        #expect(map.titles.count == 1 + smallPC.count)
        #expect(map.titles.contains { $0.hasPrefix("slot 3 of address space 0\n0x100000000") })
        let change = ChangePicture(
            before: changeBefore, after: changeAfter, marks: changeMarks)
        let read = try SVGReader(change.svg())
        #expect(read.titles.count == 1 + changeBefore.count + changeAfter.count)
        // Slots 0 to 3 stand on both sides; slot 2's band is the one that crosses.
        #expect(read.count(of: "band unchanged") == 1)
        #expect(read.count(of: "band moved") == 1)
        #expect(read.count(of: "band reflagged") == 1)
        #expect(read.count(of: "band replaced") == 1)
    }

    @Test("no array, and the edges of the address space")
    func edges() throws {
        let none = try SVGReader(MapPicture(slots: []).svg())
        #expect(none.titles == ["Memory map"])
        _ = try SVGReader(ChangePicture(before: [], after: [], marks: [:]).svg())
        let slots = [
            slot(32_763, 0, 1 << 43), slot(1, 1 << 52 - 4096, 4096), slot(2, 0, 4096, space: 1),
        ]
        let map = try SVGReader(MapPicture(slots: slots).svg())
        #expect(map.texts.contains("0x10000000000000"))
        #expect(map.texts.contains("Address space 1"))
        _ = try SVGReader(ChangePicture(before: slots, after: [], marks: [:]).svg())
    }

    @Test("a title that is too wide is cut where the picture ends, and whole in the tooltip")
    func wideTitle() throws {
        for title in [String(repeating: "W", count: 300), String(repeating: "内", count: 300)] {
            let read = try SVGReader(MapPicture(slots: smallPC).svg(title: title))
            #expect(read.titles.first == title)
            let shown = try #require(read.texts.first { $0.hasSuffix("…") })
            // 22 pixels, and a wide letter is as wide as it is high.
            #expect(shown.count > 10 && (shown.count - 1) * 22 <= read.width)
        }
    }

    @Test("a side without memory has a hole where the other side has memory")
    func oneSidedHole() throws {
        let change = ChangePicture(
            before: [slot(0, 0, 0x4000), slot(1, 0x8000, 0x1000)],
            after: [slot(0, 0, 0x1000), slot(2, 0x3000, 0x1000)], marks: [:])
        let texts = try SVGReader(change.svg()).texts
        #expect(
            texts.filter { $0.hasSuffix(" hole") } == ["16 KiB hole", "8 KiB hole", "20 KiB hole"])
    }

    @Test("titles and names are escaped")
    func escaping() throws {
        let memory = MemoryReference(object: MemoryObjectID(1), offset: .zero)
        let picture = MapPicture(
            slots: [slot(0, 0, 4096, memory: memory)],
            names: [MemoryObjectID(1): "<a>&\"b'\u{0}\u{ffff}"])
        let read = try SVGReader(picture.svg(title: "]]> </svg> & \u{1}"))
        #expect(read.titles.first == "]]> </svg> & \u{fffd}")
        #expect(read.texts.contains { $0.hasPrefix("<a>&\"b'?") })
    }

    @Test("memory with an empty name is drawn as hidden, without an address")
    func hidden() {
        let memory = MemoryReference(object: MemoryObjectID(1), offset: .zero)
        let picture = MapPicture(
            slots: [slot(0, 0, 4096, memory: memory)], names: [MemoryObjectID(1): ""])
        let text = picture.lines(TextOptions(limit: 100)).joined(separator: "\n")
        #expect(text.contains("hidden"))
        #expect(!text.contains("hva") && !text.contains("+0x0"))
    }

    @Test("blocks and labels of one column never overlap")
    func overlap() throws {
        for seed in 0..<12 as Range<UInt64> {
            var random = RandomMaps(seed: seed)
            let before = random.map(count: 25)
            // Two of three slots stay; the rest goes, or comes at an address of its own.
            let kept = before.filter { $0.assignedID.rawValue % 3 != 0 }
            let gone = before.filter { $0.assignedID.rawValue % 3 == 0 }
            let moved = gone.map { old in
                var slot = old
                slot.guestPhysicalAddress.rawValue += 1 << 45
                return slot
            }
            let marks = Dictionary(
                uniqueKeysWithValues: moved.map { ($0.assignedKey, ChangeMark.moved) })
            for limit in [nil, 20] {
                let map = MapPicture(slots: before).svg(limit: limit)
                let change = ChangePicture(before: before, after: kept + moved, marks: marks)
                for svg in [map, change.svg(limit: limit)] {
                    let read = try SVGReader(svg)
                    #expect(read.closestLabels >= 14)
                    // The sheets under a folded block are meant to overlap.
                    if limit == nil { #expect(!read.blocksOverlap) }
                    #expect(read.isWithinPage)
                }
            }
        }
    }

    @Test("32,764 slots fold to a small file that counts them all")
    func thousands() throws {
        let before = (0..<32_764).map { slot(UInt32($0), UInt64($0) << 24, 8 * mebibyte) }
        let map = MapPicture(slots: before).svg(limit: 40)
        #expect(map.utf8.count < 40_000)
        #expect(try SVGReader(map).texts.contains("32761 more slots"))
        let after = before.map { old in
            var slot = old
            if slot.assignedID.rawValue >= 1000 { slot.guestPhysicalAddress.rawValue += 1 << 42 }
            return slot
        }
        let marks = Dictionary(
            uniqueKeysWithValues: after.map {
                ($0.assignedKey, $0.assignedID.rawValue >= 1000 ? ChangeMark.moved : .unchanged)
            })
        let change = ChangePicture(before: before, after: after, marks: marks).svg(limit: 40)
        #expect(change.utf8.count < 60_000)
        let texts = try SVGReader(change).texts
        #expect(texts.contains("998 unchanged slots"))
        #expect(texts.contains("31762 moved slots"))
    }
}
