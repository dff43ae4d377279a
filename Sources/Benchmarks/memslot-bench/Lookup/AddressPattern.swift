import MemslotTestKit
import Memslots

/// In which order addresses are asked for.
enum AddressPattern: String, CaseIterable {
    /// Any slot, any offset.
    case random = "random"
    /// 64 offsets of one slot, then of another.
    case inRow = "64 in a row"
    /// One slot all the time.
    case repeated = "repeated"

    /// `count` addresses that `slots` have.
    func addresses(_ count: Int, in slots: [Memslot]) -> [UInt64] {
        var random = SeededRandom(seed: 7)
        var slot = slots[slots.count / 2]
        return (0..<count).map { index in
            let isNext = self == .random || (self == .inRow && index % 64 == 0)
            if isNext { slot = slots[Int.random(in: slots.indices, using: &random)] }
            return slot.guestPhysicalAddress.rawValue + random.next() % slot.size.rawValue
        }
    }
}

/// When an address is known.
enum AddressOrdering: String, CaseIterable {
    /// All are known beforehand, as those of a descriptor chain that was read: a processor works on
    /// several translations at a time. So are the figures of others measured.
    case known = "known"
    /// Each depends on the translation before it, by a mask that keeps nothing: what one takes from
    /// its beginning to its end.
    case chained = "chained"
}
