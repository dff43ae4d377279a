import MemslotTestKit
import Memslots

// The arguments of slot calls.
extension CallGenerator {
    /// The largest slot that is created. Limits the memory that KVM allocates by size.
    static let largestSlot: UInt64 = 9 << 20

    private var page: UInt64 { limits.pageSize.rawValue }
    private var maxSlots: UInt64 { UInt64(limits.maxSlots) }
    private var guestEnd: UInt64 { (limits.maxGuestPage &+ 1) &* page }
    private var userspaceEnd: UInt64 { limits.userspaceEnd.rawValue }

    /// Whole pages, or mostly whole slot granules where those are larger.
    mutating func pages(below count: UInt64) -> UInt64 {
        random.below(count)
            * (limits.slotGranule == limits.pageSize || random.once(in: 4)
                ? page : limits.slotGranule.rawValue)
    }

    mutating func slot() -> UInt32 {
        let id: UInt64
        switch random.below(24) {
        case 0: id = maxSlots &- 1
        case 1: id = maxSlots
        case 2: id = random.below(1 << 16)
        case 3: id = maxSlots &+ random.below(6)
        default: id = random.below(12)
        }
        let space = random.once(in: 15) ? random.below(3) : 0
        return UInt32(truncatingIfNeeded: space << 16 | id & 0xffff)
    }

    mutating func guestAddress() -> UInt64 {
        let near = pages(below: 64)
        switch random.below(24) {
        case 0: return guestEnd &- pages(below: 12)
        case 1: return 0 &- pages(below: 12)
        case 2: return near + 1 + random.below(page - 1)
        case 3: return random.next() & ~(page - 1)
        case 4: return guestEnd &+ near
        default: return near + (random.once(in: 3) ? 0x10_0000 : 0)
        }
    }

    mutating func size() -> UInt64 {
        switch random.below(30) {
        case 0: return 1 + random.below(2 * page - 1)
        case 1: return page << 31
        case 2: return ((1 << 31) - 1 + random.below(3)) * page
        case 3: return random.next() | 1 << 50
        case 4: return 0 &- page * (1 + random.below(8))
        case 5: return 8 << 20 + pages(below: 2)
        case 6: return 4 << 20
        default: return pages(below: 9)
        }
    }

    mutating func userspaceAddress() -> UInt64 {
        let near = UserWindow.start.rawValue + random.below(6) << 20
        switch random.below(20) {
        case 0: return userspaceEnd &- pages(below: 10)
        case 1: return near + 1 + random.below(page - 1)
        case 2: return random.next()
        case 3: return 0
        case 4: return userspaceEnd
        case 5: return userspaceEnd &+ pages(below: 3)
        case 6: return 0 &- pages(below: 10)
        default: return near
        }
    }

    mutating func flags(guestMemfd: Bool) -> UInt32 {
        switch random.below(14) {
        case 0: return 1 << UInt32(random.below(32))
        case 1: return UInt32(truncatingIfNeeded: random.next())
        case 2: return UInt32(random.below(8))
        case 3, 4: return guestMemfd ? 4 : 0
        case 5: return 2
        case 6: return 3
        case 7...10: return 1
        default: return 0
        }
    }

    /// The file of a REGION2 call and the offset in it.
    mutating func guestMemfd() -> (file: RawGuestMemfd, offset: UInt64) {
        let file: RawGuestMemfd
        switch random.below(12) {
        case 0: file = .kvm
        case 1: file = .vm
        case 2: file = .memfd
        case 3: file = .otherVM
        case 4: file = .none
        default: file = .file(index: UInt32(random.below(4)))
        }
        switch random.below(30) {
        case 0: return (file, random.next() | 1 << 63)
        case 1: return (file, random.next() >> 2)
        case 2: return (file, random.below(2 * page))
        case 3...6: return (file, pages(below: 10))
        default: return (file, pages(below: (8 << 20) / page + 52))
        }
    }
}
