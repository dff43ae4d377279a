import MemslotTestKit
import Memslots
import Testing

@testable import MemslotVhostUser

@Suite("regions")
struct RegionChangeTests {
    private func slot(
        _ guestPage: UInt64, _ pages: UInt64, object: UInt32 = 1, filePage: UInt64? = nil
    ) -> Memslot {
        Memslot(
            guestPhysicalAddress: GuestPhysicalAddress(guestPage * 4_096), size: .pages(pages),
            userspaceAddress: 0x10_0000,
            memory: MemoryReference(
                object: MemoryObjectID(object), offset: .pages(filePage ?? guestPage)))
    }

    private func region(
        _ guestPage: UInt64, _ pages: UInt64, object: UInt32 = 1, filePage: UInt64? = nil
    ) -> VhostUserRegion {
        VhostUserRegion(
            guestAddress: GuestPhysicalAddress(guestPage * 4_096), size: .pages(pages),
            object: MemoryObjectID(object), fileOffset: .pages(filePage ?? guestPage))
    }

    @Test("adjacent slots of one file start as one region, others do not")
    func initialTable() {
        let slots = [
            slot(8, 4), slot(0, 8), slot(16, 4), slot(20, 4, object: 2, filePage: 20),
            slot(24, 4, object: 2, filePage: 0),
        ]
        #expect(
            RegionChange.initialTable(of: slots) == [
                region(0, 12), region(16, 4), region(20, 4, object: 2),
                region(24, 4, object: 2, filePage: 0),
            ])
    }

    @Test("a split, a merge and a reflag send nothing")
    func nothing() {
        let present = [region(0, 64)]
        for slots in [
            [slot(0, 64)], [slot(0, 32), slot(32, 32)],
            [slot(0, 16).logging(true), slot(16, 8), slot(24, 40)],
        ] {
            let change = RegionChange(from: present, to: slots)
            #expect(change.isEmpty)
            #expect(change.kept == present)
        }
    }

    @Test("an addition is a region of its own, also beside memory of its file")
    func addition() {
        let change = RegionChange(from: [region(0, 64)], to: [slot(0, 80)])
        #expect(change.added == [region(64, 16)])
        #expect(change.isAdditionAlone)
    }

    @Test("a hole cuts one region into two")
    func hole() {
        let change = RegionChange(
            from: [region(0, 64), region(128, 8)], to: [slot(0, 10), slot(11, 53), slot(128, 8)])
        #expect(change.cut == [region(0, 64)])
        #expect(change.added == [region(0, 10), region(11, 53)])
        #expect(change.kept == [region(128, 8)])
        #expect(change.gone == [])
    }

    @Test("other memory at an address cuts, a removal and a move of it do not")
    func exchangeAndMove() {
        let exchanged = RegionChange(from: [region(0, 8)], to: [slot(0, 8, object: 2)])
        #expect(exchanged.cut == [region(0, 8)])
        #expect(exchanged.added == [region(0, 8, object: 2)])
        let moved = RegionChange(from: [region(0, 8)], to: [slot(100, 8, filePage: 0)])
        #expect(moved.gone == [region(0, 8)])
        #expect(moved.added == [region(100, 8, filePage: 0)])
        #expect(!moved.isAdditionAlone)
    }

    @Test("what cuts have left is merged when there is no room for it, and not before")
    func merge() {
        let present = [region(0, 4), region(4, 4), region(8, 4), region(20, 4)]
        let slots = [slot(0, 12), slot(20, 4), slot(30, 1)]
        #expect(RegionChange(from: present, to: slots, limit: 5).kept == present)
        let merged = RegionChange(from: present, to: slots, limit: 4)
        #expect(merged.kept == [region(20, 4)])
        #expect(merged.cut == [region(0, 4), region(4, 4), region(8, 4)])
        #expect(merged.added == [region(0, 12), region(30, 1)])
    }

    @Test("by page, the change is what a count of every page says", arguments: 0..<400)
    func bruteForce(_ seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        var table: [VhostUserRegion] = []
        for _ in 0..<6 {
            let slots = randomSlots(&random)
            let change = RegionChange(from: table, to: slots)
            check(change, from: table, to: slots)
            table = change.table
        }
    }

    private static let pageLimit: UInt64 = 40

    /// Slots with holes, splits, exchanged objects and moved files.
    private func randomSlots(_ random: inout SeededRandom) -> [Memslot] {
        var slots: [Memslot] = []
        var page: UInt64 = 0
        while page < Self.pageLimit {
            let count = min(.random(in: 1...9, using: &random), Self.pageLimit - page)
            if .random(in: 0..<4, using: &random) > 0 {
                let shift: UInt64 = .random(in: 0..<5, using: &random) == 0 ? 3 : 0
                slots.append(
                    slot(
                        page, count, object: .random(in: 0..<5, using: &random) == 0 ? 2 : 1,
                        filePage: page + shift))
            }
            page += count
        }
        return slots.shuffled(using: &random)
    }

    private struct Page: Hashable {
        var object: MemoryObjectID
        var offset: UInt64
    }

    private func pages(_ regions: [VhostUserRegion]) -> [UInt64: Page] {
        var pages: [UInt64: Page] = [:]
        for region in regions {
            for page in 0..<region.size.pageCount {
                let key = region.guestAddress.pageNumber + page
                #expect(pages[key] == nil, "regions overlap")
                pages[key] = Page(
                    object: region.object, offset: region.fileOffset.pageCount + page)
            }
        }
        return pages
    }

    private func check(
        _ change: RegionChange, from table: [VhostUserRegion], to slots: [Memslot]
    ) {
        let wanted = pages(
            slots.map {
                region(
                    $0.guestPhysicalAddress.pageNumber, $0.pageCount,
                    object: $0.memory?.object.rawValue ?? 0,
                    filePage: $0.memory?.offset.pageCount)
            })
        #expect(pages(change.table) == wanted)
        for region in table {
            let own = pages([region])
            let stays = own.allSatisfy { wanted[$0.key] == $0.value }
            let isReused = own.keys.contains { wanted[$0] != nil }
            #expect(change.kept.contains(region) == stays)
            #expect(change.cut.contains(region) == (!stays && isReused))
            #expect(change.gone.contains(region) == (!stays && !isReused))
        }
        #expect(change.kept.count + change.cut.count + change.gone.count == table.count)
        // The fewest: a page that is not kept begins a region unless it continues the page before.
        let kept = pages(change.kept)
        let starts = wanted.filter { page, content in
            guard kept[page] == nil else { return false }
            guard page > 0, kept[page - 1] == nil, let before = wanted[page - 1] else {
                return true
            }
            return before != Page(object: content.object, offset: content.offset &- 1)
        }
        #expect(change.added.count == starts.count)
    }
}
