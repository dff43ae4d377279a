import CReading
import MemslotRandom
import Testing

@testable import Memslots

@Suite("the lookup index")
struct AddressIndexTests {
    /// Around every number of slots at which the tree grows a node or a level.
    static let counts = [0, 1, 2, 15, 16, 17, 31, 32, 33, 271, 272, 273, 288, 289, 4_624, 4_625]

    /// Slots with and without gaps, some of them far away, in no order of their ids.
    private func slots(_ count: Int, _ random: inout SeededRandom) -> [Memslot] {
        var page: UInt64 = UInt64.random(in: 0...3, using: &random)
        var slots: [Memslot] = []
        for number in 0..<count {
            let pages = UInt64.random(in: 1...4, using: &random)
            slots.append(slot(UInt32(number), at: page, pages: pages, space: UInt32(number % 2)))
            page += pages + UInt64.random(in: 0...2, using: &random)
            if number % 97 == 96 { page += 1 << UInt64.random(in: 10...30, using: &random) }
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
        }
        return faults
    }

    @Test("finds what looking at every slot finds, by every search", arguments: counts)
    func finds(count: Int) {
        var random = SeededRandom(seed: UInt64(count))
        let slots = slots(count, &random)
        var searches = 0
        for name in ["avx512", "avx2", "plain"] {
            guard let search = creading_named_search(name) else { continue }
            searches += 1
            #expect(faults(AddressIndex(slots, search: search), slots).isEmpty, "\(name)")
        }
        #expect(searches > 0)
        #expect(faults(AddressIndex(slots), slots).isEmpty)
        let array = MemslotArray(sortedByKey: slots)
        let byAddress = slots.sorted {
            ($0.addressSpace, $0.guestPhysicalAddress) < ($1.addressSpace, $1.guestPhysicalAddress)
        }
        #expect(array.slotsByAddress == byAddress)
    }

    @Test("built again for other slots, it has nothing of those before")
    func rebuilt() {
        var random = SeededRandom(seed: 5)
        let index = AddressIndex(slots(300, &random))
        for count in [299, 3, 0, 17, 4_625, 16] {
            let slots = slots(count, &random)
            index.rebuild(slots)
            #expect(faults(index, slots).isEmpty)
        }
    }
}
