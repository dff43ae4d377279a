import MemslotTestKit
import Memslots

/// Draws valid arrays on a small universe, so that slots meet, move and alias often.
struct RandomArrays {
    var random: SeededRandom
    var universe: UInt64 = 14
    var ids: UInt32 = 6
    var spaces: UInt32 = 2
    /// How many ways a slot can be backed; few make moves likely.
    var backings: UInt64 = 2
    var largest: UInt64 = 3

    init(seed: UInt64) { random = SeededRandom(seed: seed) }

    /// A valid array, in random order.
    mutating func next() -> [Memslot] {
        var slots: [Memslot] = []
        for space in 0..<spaces {
            let wanted = Int.random(in: 0...Int(ids), using: &random)
            for id in (0..<ids).shuffled(using: &random).prefix(wanted) {
                for _ in 0..<4 {
                    let candidate = draw(id, space)
                    if !slots.contains(where: { $0.overlaps(candidate) }) {
                        slots.append(candidate)
                        break
                    }
                }
            }
        }
        return slots.shuffled(using: &random)
    }

    /// An array that shares most of its slots with `array`: moved, reflagged, replaced, gone.
    mutating func near(_ array: [Memslot]) -> [Memslot] {
        var slots: [Memslot] = []
        for old in array.shuffled(using: &random) {
            var slot = old
            switch Int.random(in: 0..<10, using: &random) {
            case 0: continue
            case 1...5: slot = slot.at(UInt64.random(in: 0..<universe, using: &random))
            case 6: slot.flags = flags()
            case 7: slot = draw(old.assignedID.rawValue, old.addressSpace.rawValue)
            default: break
            }
            if Int.random(in: 0..<4, using: &random) == 0, !slot.flags.contains(.guestMemfd) {
                slot.flags.formSymmetricDifference(.logDirtyPages)
            }
            if !slots.contains(where: { $0.overlaps(slot) }) { slots.append(slot) }
        }
        return slots
    }

    private mutating func flags() -> MemslotFlags {
        let all: [MemslotFlags] = [
            [], [.logDirtyPages], [.readOnly], [.logDirtyPages, .readOnly], .guestMemfd,
        ]
        return all.randomElement(using: &random) ?? []
    }

    private mutating func draw(_ id: UInt32, _ space: UInt32) -> Memslot {
        let backing = UInt64.random(in: 0..<backings, using: &random)
        let isNamed = Int.random(in: 0..<4, using: &random) == 0
        return slot(
            id, at: UInt64.random(in: 0..<universe, using: &random),
            pages: UInt64.random(in: 1...largest, using: &random), host: 0x100 + backing,
            flags: flags(), space: space,
            memory: isNamed
                ? MemoryReference(object: MemoryObjectID(7), offset: .pages(backing)) : nil)
    }
}
