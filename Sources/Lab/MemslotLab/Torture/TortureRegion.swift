import MemslotTestKit
import Memslots

/// The guest addresses under torture in an address space. They always map the same host pages.
struct TortureRegion: Sendable {
    static let pageCount: UInt64 = 16
    static let start = GuestPhysicalAddress(0x4000_0000)
    /// The address of slots that the guest does not use at the time.
    static let aside = GuestPhysicalAddress(0x8000_0000)

    /// The address of slots that no guest uses.
    static let beside = GuestPhysicalAddress(0xc000_0000)
    /// The first id of these.
    static let firstIDBeside: UInt32 = 48

    /// Two addresses of the same host pages.
    let mappings: (UserspaceAddress, UserspaceAddress)
    /// Slots are multiples of so many pages, the first of which is used; 128: a quarter huge page.
    var stride: UInt64 = 1
    /// Address space 1 shares half of its host pages with address space 0, at other guest addresses.
    var space = AddressSpaceID.main

    func address(of page: UInt64) -> GuestPhysicalAddress {
        GuestPhysicalAddress(Self.start.rawValue + page * stride * pageSize.rawValue)
    }

    /// The host page behind a page that the guest accesses.
    func hostPage(_ page: UInt64) -> UInt64 {
        (page + UInt64(space.rawValue) * Self.pageCount / 2) * stride
    }

    func slot(
        _ id: UInt32, _ pages: Range<UInt64> = 0..<pageCount,
        at place: GuestPhysicalAddress = start, second: Bool = false
    ) -> Memslot {
        let offset = ByteCount.pages(pages.lowerBound * stride)
        let host = ByteCount.pages(hostPage(pages.lowerBound))
        let mapping = second ? mappings.1 : mappings.0
        return Memslot(
            id: SlotID(id), addressSpace: space,
            guestPhysicalAddress: GuestPhysicalAddress(place.rawValue + offset.rawValue),
            size: .pages(UInt64(pages.count) * stride),
            userspaceAddress: UserspaceAddress(mapping.rawValue + host.rawValue),
            flags: .logDirtyPages,
            memory: MemoryReference(object: MemoryObjectID(rawValue: 1), offset: host))
    }

    /// Up to two slots beside the region that do not log: aliases of its host pages.
    func slotsBeside(_ random: inout SeededRandom) -> [Memslot] {
        (0..<2).shuffled(using: &random).prefix(.random(in: 0...2, using: &random)).sorted().map {
            let pages = UInt64($0) * 8..<UInt64($0) * 8 + 8
            return slot(Self.firstIDBeside + UInt32($0), pages, at: Self.beside).logging(false)
        }
    }

    /// The region's pages that `slot` maps where the guest uses them.
    func usedPages(of slot: Memslot) -> [UInt64] {
        (0..<Self.pageCount).filter {
            slot.contains(address(of: $0), in: space) && slot.hostPages.contains(hostPage($0))
        }
    }
}

/// A sequence of arrays of the region; two in a row always differ.
struct LayoutSequence {
    private let region: TortureRegion
    private let change: TortureChange
    private var random: SeededRandom
    private var turn = 0
    private var last: [Memslot] = []
    /// The boundaries of the last four slots of ``TortureChange/merge``.
    private var fourPieces: [UInt64] = []

    init(_ region: TortureRegion, change: TortureChange, seed: UInt64) {
        (self.region, self.change, self.random) = (region, change, SeededRandom(seed: seed))
    }

    /// The next array, ascending by id, with ids from 1.
    mutating func next() -> [Memslot] {
        var slots: [Memslot]
        repeat {
            // Logging alone changes: KVM splits huge mappings, and allows them again.
            if region.stride > 1, !last.isEmpty, Bool.random(using: &random) {
                slots = last.map { $0.logging(!$0.isLogging) }
                continue
            }
            slots = layout(of: change == .mix ? anyChange() : change)
            turn += 1
            if Int.random(in: 0..<4, using: &random) == 0 {
                slots[Int.random(in: slots.indices, using: &random)].flags.remove(.logDirtyPages)
            }
        } while slots == last
        last = slots
        return slots
    }

    private mutating func anyChange() -> TortureChange {
        let changes: [TortureChange] = [.split, .merge, .resize, .move, .swap, .remap]
        return changes[Int.random(in: changes.indices, using: &random)]
    }

    private mutating func layout(of change: TortureChange) -> [Memslot] {
        let isEven = turn % 2 == 0
        switch change {
        case .split, .delete: return pieces(cuts(isEven ? 0 : .random(in: 1...3, using: &random)))
        case .merge:
            if isEven { fourPieces = cuts(3) }
            return isEven ? pieces(fourPieces) : merged()
        case .resize: return pieces(cuts(1))
        case .move:
            return isEven
                ? [region.slot(1)]
                : [region.slot(1, at: TortureRegion.aside), region.slot(2, second: true)]
        case .swap:
            let (first, second) =
                isEven
                ? (TortureRegion.start, TortureRegion.aside)
                : (TortureRegion.aside, TortureRegion.start)
            return [region.slot(1, at: first), region.slot(2, at: second, second: true)]
        case .remap, .mix:
            let middle = TortureRegion.pageCount / 2
            return [
                region.slot(1, 0..<middle, second: isEven),
                region.slot(2, middle..<TortureRegion.pageCount, second: .random(using: &random)),
            ]
        case .romd:
            var slots = pieces([TortureRegion.pageCount / 2])
            for index in slots.indices where Bool.random(using: &random) {
                slots[index].flags.insert(.readOnly)
            }
            return slots
        }
    }

    /// `count` distinct boundaries inside the region, ascending.
    private mutating func cuts(_ count: Int) -> [UInt64] {
        Array((1..<TortureRegion.pageCount).shuffled(using: &random).prefix(count)).sorted()
    }

    private func pieces(_ cuts: [UInt64], firstID: UInt32 = 1) -> [Memslot] {
        let ends = cuts + [TortureRegion.pageCount]
        return zip([0] + cuts, ends).enumerated().map { index, pages in
            region.slot(firstID + UInt32(index), pages.0..<pages.1)
        }
    }

    /// The last four slots with neighbours merged, numbered so that the last ids stay.
    private mutating func merged() -> [Memslot] {
        let left = Int.random(in: 0...2, using: &random)
        let cuts = fourPieces.shuffled(using: &random).prefix(left).sorted()
        return pieces(cuts, firstID: UInt32(4 - cuts.count))
    }
}
