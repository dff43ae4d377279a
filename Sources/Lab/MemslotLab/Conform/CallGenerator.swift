import MemslotProtocol
import MemslotScenario
import MemslotTestKit
import Memslots

/// Draws random calls. Most of them refer to installed slots.
struct CallGenerator {
    private var words: RandomWords
    private let hasRegion2: Bool
    private let hasGuest: Bool

    init(seed: UInt64, capabilities: Capabilities, hasRegion2: Bool, hasGuest: Bool = true) {
        self.hasGuest = hasGuest
        words = RandomWords(seed: seed, capabilities)
        self.hasRegion2 = hasRegion2
    }

    mutating func next(_ twin: SimulatedTarget) -> RawCall {
        let slots = twin.slots
        while true {
            let call = draw(slots)
            if Comparison.isFair(call, to: twin) { return call }
        }
    }

    private mutating func draw(_ slots: [Memslot]) -> RawCall {
        switch words.random.below(100) {
        case 0: return .setManualDirtyLogProtect(protection())
        case 1..<8:
            return .getDirtyLog(
                slot: loggedSlot(slots).word, isWritable: !words.random.once(in: 8))
        case 8..<14: return clear(slots)
        case 14..<30 where hasGuest: return .guestWrite(writtenAddress(slots))
        default: return .setRegion(region(slots))
        }
    }

    private mutating func protection() -> UInt64 {
        let known: [UInt64] = [0, 1, 3, 3, 2, 4, 5]
        return words.random.once(in: 8)
            ? words.random.next() : known.randomElement(using: &words.random) ?? 0
    }

    /// Draws a slot, mostly one that logs.
    private mutating func loggedSlot(_ slots: [Memslot]) -> (word: UInt32, pages: UInt64) {
        let known = words.random.once(in: 6) ? slots : slots.filter(\.isLogging)
        if !words.random.once(in: 8), let slot = known.randomElement(using: &words.random) {
            return (slot.assignedKey.kernelWord, slot.size.pages(of: words.pageSize))
        }
        return (words.slot(), 64)
    }

    private mutating func clear(_ slots: [Memslot]) -> RawCall {
        let (word, pages) = loggedSlot(slots)
        var first: UInt64 = 0
        if words.random.once(in: 6) {
            first = words.random.below(200)
        } else if words.random.once(in: 4) {
            first = 64 * words.random.below(40)
        }
        var count = pages
        if words.random.once(in: 3) {
            count = words.random.below(pages + 70)
        } else if words.random.once(in: 2) {
            count = pages > first ? pages - first : 0
        }
        let needed = Int((count + 63) / 64)
        let bitmap: [UInt64]? =
            words.random.once(in: 8) ? nil : (0..<needed).map { _ in words.random.next() }
        return .clearDirtyLog(
            slot: word, firstPage: first, pageCount: UInt32(truncatingIfNeeded: count),
            words: bitmap)
    }

    /// Draws an address, mostly in a slot that logs, sometimes in any slot or outside of all.
    private mutating func writtenAddress(_ slots: [Memslot]) -> UInt64 {
        let known = words.random.once(in: 4) ? slots : slots.filter(\.isLogging)
        guard !words.random.once(in: 10), let slot = known.randomElement(using: &words.random)
        else {
            return words.pages(below: 80) + words.random.below(4096)
        }
        return slot.guestPhysicalAddress.rawValue + words.random.below(slot.size.rawValue)
    }

    private mutating func region(_ slots: [Memslot]) -> RawRegion {
        var region: RawRegion
        if words.random.once(in: 2), let slot = slots.randomElement(using: &words.random) {
            region = RawRegion(slot, size: slot.size)
            let changes = words.random.once(in: 10) ? 0 : 1 + words.random.below(2)
            for _ in 0..<changes { change(&region) }
        } else {
            region = RawRegion(
                slot: words.slot(), flags: words.flags(guestMemfd: hasRegion2),
                guestPhysicalAddress: words.guestAddress(), memorySize: words.size(),
                userspaceAddress: words.userspaceAddress())
        }
        let wantsRegion2 =
            region.flags & MemslotFlags.guestMemfd.rawValue != 0
            ? !words.random.once(in: 8) : words.random.once(in: 2)
        if hasRegion2, wantsRegion2 {
            (region.guestMemfd, region.guestMemfdOffset) = words.guestMemfd()
        }
        return region
    }

    private mutating func change(_ region: inout RawRegion) {
        switch words.random.below(9) {
        case 0: region.flags ^= 1
        case 1: region.flags ^= UInt32(words.random.below(8))
        case 2, 3: region.guestPhysicalAddress = words.guestAddress()
        case 4: region.memorySize = words.size()
        case 5, 6: region.memorySize = 0
        case 7: region.userspaceAddress = words.userspaceAddress()
        default: region.slot = words.slot()
        }
    }
}
