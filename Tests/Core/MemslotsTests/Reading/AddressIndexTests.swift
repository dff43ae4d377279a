import CReading
import MemslotTestKit
import Testing

@testable import Memslots

@Suite("the lookup index")
struct AddressIndexTests {
    /// Around every number of slots at which the tree grows a node or a level.
    static let counts = [
        0, 1, 2, 16, 17, 18, 32, 33, 34, 64, 65, 66, 128, 130, 576, 578, 2_112, 2_114, 2_176, 2_178,
        8_320, 8_322,
    ]
    /// All starts below 8 TiB, where keys are narrow, and all beyond.
    static let leaps: [UInt64] = [1 << 12, 1 << 30]

    /// Slots with and without gaps, some of them far away, in no order of their ids.
    private func slots(
        _ count: Int, _ random: inout SeededRandom, leap: UInt64 = 1 << 20
    ) -> [Memslot] {
        // Far away, all keys are wide, also those of a tree of one node.
        var page = (leap > 1 << 20 ? 1 << 31 : 0) + UInt64.random(in: 0...3, using: &random)
        var slots: [Memslot] = []
        for number in 0..<count {
            let pages = UInt64.random(in: 1...4, using: &random)
            slots.append(slot(UInt32(number), at: page, pages: pages, space: UInt32(number % 2)))
            page += pages + UInt64.random(in: 0...2, using: &random)
            if number % 29 == 28 { page += UInt64.random(in: 1 << 10...leap, using: &random) }
        }
        let ids = slots.map(\.id).shuffled(using: &random)
        for index in slots.indices { slots[index].id = ids[index] }
        return slots.byKey
    }

    /// Where a lookup of `index` differs from looking at every slot near by.
    private func faults(_ index: AddressIndex, _ slots: [Memslot]) -> [String] {
        var faults: [String] = []
        func check(_ address: UInt64, _ space: UInt32, _ wanted: Int?) {
            let found = index.position(holding: address, in: space)
            if found != wanted { faults.append("\(space):\(address): \(found ?? -1)") }
        }
        for space in UInt32(0)...2 {
            let places = slots.indices.filter { slots[$0].addressSpace.rawValue == space }
                .sorted { slots[$0].guestPhysicalAddress < slots[$1].guestPhysicalAddress }
            var end: UInt64 = 0
            for place in places {
                let slot = slots[place]
                let start = slot.guestPhysicalAddress.rawValue
                if start > end {
                    check(end, space, nil)
                    check(start - 1, space, nil)
                }
                end = slot.guestPhysicalEnd.rawValue
                for address in [start, start + 1, end - 1] { check(address, space, place) }
            }
            for address in [end, UInt64.max - 1, .max] { check(address, space, nil) }
            // Not what fills the last node up, which is behind all records.
            let last = index.tree(of: space)?.lastStart(atOrBelow: .max).pointee.start
            if last != places.last.map({ slots[$0].guestPhysicalAddress.rawValue }) {
                faults.append("\(space): the last of all is \(last ?? 0)")
            }
        }
        return faults
    }

    @Test(
        "finds what looking at every slot finds, by every search", arguments: counts, leaps)
    func finds(count: Int, leap: UInt64) {
        var random = SeededRandom(seed: UInt64(count))
        let slots = slots(count, &random, leap: leap)
        var searches = 0
        for name in ["avx512", "avx2", "plain"] where isThere(name) {
            searches += 1
            let index = AddressIndex(slots) { shape in
                creading_named_search(
                    name, shape.width, UInt64(shape.levels.count), UInt64(shape.topKeys))
            }
            #expect(faults(index, slots).isEmpty, "\(name)")
        }
        #expect(searches > 0)
        #expect(faults(AddressIndex(slots), slots).isEmpty)
        let array = MemslotArray(sortedByKey: slots)
        let byAddress = slots.sorted {
            ($0.addressSpace, $0.guestPhysicalAddress) < ($1.addressSpace, $1.guestPhysicalAddress)
        }
        #expect(array.slotsByAddress == byAddress)
    }

    private func isThere(_ search: String) -> Bool {
        creading_named_search(search, CREADING_NARROW, 1, 1) != nil
    }

    @Test("keys are narrow up to the page below 8 TiB, and wide from there")
    func widths() {
        let last: UInt64 = (1 << 43) - (1 << 12)
        #expect(TreeShape(keys: 1, last: last - (1 << 12)).width == CREADING_NARROW)
        #expect(TreeShape(keys: 1, last: last).width == CREADING_WIDE)
        let page: UInt64 = 1 << 12
        for start in [last - page, last, last + page, (1 << 52) - page] {
            let slots = [
                slot(0, at: 0, pages: 1), slot(1, at: start >> 12, pages: 1),
            ]
            #expect(faults(AddressIndex(slots), slots).isEmpty, "\(start)")
        }
    }

    @Test("one line of the top node is looked at where it has all keys")
    func topKeys() {
        for (keys, top) in [(0, 0), (64, 64), (65, 1), (1_088, 16), (1_089, 17), (4_161, 1)] {
            #expect(TreeShape(keys: keys, last: 0).topKeys == top, "\(keys)")
        }
    }

    @Test("levels are as few as nodes of 64 and of 32 keys allow")
    func levels() {
        for (keys, levels) in [(0, 1), (64, 1), (65, 2), (4_160, 2), (4_161, 3), (270_400, 3)] {
            #expect(TreeShape(keys: keys, last: 0).levels.count == levels, "\(keys)")
        }
        for (keys, levels) in [(32, 1), (33, 2), (1_056, 2), (1_057, 3), (34_848, 3)] {
            #expect(TreeShape(keys: keys, last: .max).levels.count == levels, "\(keys)")
        }
    }

    @Test("built again for other slots, it has nothing of those before")
    func rebuilt() {
        var random = SeededRandom(seed: 5)
        let index = AddressIndex(slots(300, &random))
        for count in [299, 3, 0, 65, 4_161, 64] {
            let slots = slots(count, &random)
            index.rebuild(slots)
            #expect(faults(index, slots).isEmpty)
        }
    }
}
