import MemslotTestKit
import Testing

@testable import Memslots

@Suite("ascending order")
struct AscendingOrderTests {
    @Test("is the library's, equal ones as they came, for few slots and many")
    func likeTheLibrary() {
        var random = SeededRandom(seed: 3)
        var wrong = 0
        for count in [0, 1, 2, 50, 95, 96, 97, 500, 5_000] {
            for spread in [1, 40, 3_000, UInt64.max >> 12] {
                let slots = (0..<count).map { _ in
                    slot(
                        UInt32.random(in: 0...UInt32(clamping: spread), using: &random),
                        at: UInt64.random(in: 0...spread, using: &random),
                        space: UInt32.random(in: 0...UInt32(clamping: spread) % 3, using: &random))
                }
                let places = (0..<UInt32(count))
                let byKey = places.sorted {
                    (slots[Int($0)].assignedKey.ordinal, $0) < (
                        slots[Int($1)].assignedKey.ordinal, $1
                    )
                }
                func place(_ position: UInt32) -> (AddressSpaceID, GuestPhysicalAddress, UInt32) {
                    let slot = slots[Int(position)]
                    return (slot.addressSpace, slot.guestPhysicalAddress, position)
                }
                let byAddress = places.sorted { place($0) < place($1) }
                if AscendingOrder.byKey(slots) != byKey { wrong += 1 }
                if AscendingOrder.byAddress(slots) != byAddress { wrong += 1 }
                if slots.sortedByKey() != byKey.map({ slots[Int($0)] }) { wrong += 1 }
            }
        }
        #expect(wrong == 0)
    }
}
