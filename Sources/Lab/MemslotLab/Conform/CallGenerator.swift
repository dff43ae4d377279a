import MemslotScenario
import MemslotSimulator
import MemslotTestKit
import Memslots

/// Draws calls, most to installed slots; arguments are mostly valid, often at a limit.
struct CallGenerator {
    var random: SeededRandom
    let limits: Capabilities
    let hasRegion2, hasGuest: Bool

    mutating func next(_ twin: SimulatedRawVM) -> RawCall {
        let slots = twin.slots
        while true {
            let call = draw(slots)
            if Comparison.isFair(call, to: twin) { return call }
        }
    }

    private mutating func draw(_ slots: [Memslot]) -> RawCall {
        switch random.below(100) {
        case 0:
            let known: [UInt64] = [0, 1, 3, 3, 2, 4, 5]
            let isWild = random.once(in: 8)
            return .setManualDirtyLogProtect(
                isWild ? random.next() : known.randomElement(using: &random) ?? 0)
        case 1..<8:
            return .getDirtyLog(slot: loggedSlot(slots).word, isWritable: !random.once(in: 8))
        case 8..<14: return clear(slots)
        case 14..<30 where hasGuest: return .guestWrite(writtenAddress(slots))
        default: return .setRegion(region(slots))
        }
    }

    /// Draws a slot, mostly one that logs.
    private mutating func loggedSlot(_ slots: [Memslot]) -> (word: UInt32, pages: UInt64) {
        let known = random.once(in: 6) ? slots : slots.filter(\.isLogging)
        if !random.once(in: 8), let slot = known.randomElement(using: &random) {
            return (slot.assignedKey.kernelWord, slot.size.pages(of: limits.pageSize))
        }
        return (slot(), 64)
    }

    private mutating func clear(_ slots: [Memslot]) -> RawCall {
        let (word, pages) = loggedSlot(slots)
        let first =
            random.once(in: 6) ? random.below(200) : random.once(in: 4) ? 64 * random.below(40) : 0
        let rest = pages > first ? pages - first : 0
        let count =
            random.once(in: 3) ? random.below(pages + 70) : random.once(in: 2) ? rest : pages
        let needed = Int((count + 63) / 64)
        let bitmap: [UInt64]? = random.once(in: 8) ? nil : (0..<needed).map { _ in random.next() }
        return .clearDirtyLog(
            slot: word, firstPage: first, pageCount: UInt32(truncatingIfNeeded: count),
            words: bitmap)
    }

    /// Draws an address, mostly in a slot that logs, sometimes in any slot or outside of all.
    private mutating func writtenAddress(_ slots: [Memslot]) -> UInt64 {
        let known = random.once(in: 4) ? slots : slots.filter(\.isLogging)
        guard !random.once(in: 10), let slot = known.randomElement(using: &random) else {
            return pages(below: 80) + random.below(4096)
        }
        return slot.guestPhysicalAddress.rawValue + random.below(slot.size.rawValue)
    }

    private mutating func region(_ slots: [Memslot]) -> RawRegion {
        var region: RawRegion
        if random.once(in: 2), let slot = slots.randomElement(using: &random) {
            region = RawRegion(slot, size: slot.size)
            let changes = random.once(in: 10) ? 0 : 1 + random.below(2)
            for _ in 0..<changes { change(&region) }
        } else {
            region = RawRegion(
                slot: slot(), flags: flags(guestMemfd: hasRegion2),
                guestPhysicalAddress: guestAddress(), memorySize: size(),
                userspaceAddress: userspaceAddress())
        }
        let wantsRegion2 =
            region.flags & MemslotFlags.guestMemfd.rawValue != 0
            ? !random.once(in: 8) : random.once(in: 2)
        if hasRegion2, wantsRegion2 { (region.guestMemfd, region.guestMemfdOffset) = guestMemfd() }
        return region
    }

    private mutating func change(_ region: inout RawRegion) {
        switch random.below(9) {
        case 0: region.flags ^= 1
        case 1: region.flags ^= UInt32(random.below(8))
        case 2, 3: region.guestPhysicalAddress = guestAddress()
        case 4: region.memorySize = size()
        case 5, 6: region.memorySize = 0
        case 7: region.userspaceAddress = userspaceAddress()
        default: region.slot = slot()
        }
    }
}
