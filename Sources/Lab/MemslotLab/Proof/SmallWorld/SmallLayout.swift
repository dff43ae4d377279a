import MemslotTestKit
import Memslots

/// Where slots can stand in a small world: for each id a run of pages, or none.
struct SmallLayout {
    /// By id.
    var runs: [Range<UInt64>?]

    /// All layouts of up to `ids` slots on `pages` pages, in which none overlap.
    static func all(ids: Int, pages: UInt64) -> [SmallLayout] {
        var layouts = [SmallLayout(runs: [])]
        for _ in 0..<ids {
            layouts = layouts.flatMap { layout in
                [SmallLayout(runs: layout.runs + [nil])]
                    + runs(pages).filter { run in
                        !layout.runs.contains { $0?.overlaps(run) ?? false }
                    }.map { SmallLayout(runs: layout.runs + [$0]) }
            }
        }
        return layouts
    }

    private static func runs(_ pages: UInt64) -> [Range<UInt64>] {
        (0..<pages).flatMap { first in (first + 1...pages).map { first..<$0 } }
    }

    var slotCount: Int { runs.count { $0 != nil } }
}

/// What a slot of a small world is besides its place: two flags, two backings.
struct SmallKind: Hashable {
    var logs = false
    var isReadOnly = false
    var backing: UInt64 = 0

    static let count = 8

    static let all: [SmallKind] = (0..<UInt64(count)).map {
        SmallKind(logs: $0 & 1 != 0, isReadOnly: $0 & 2 != 0, backing: $0 >> 2)
    }

    /// The slot. The two backings overlap but for a page, so that slots show the same host pages
    /// wholly, in part, or not at all.
    func slot(_ id: Int, _ run: Range<UInt64>) -> Memslot {
        var flags: MemslotFlags = logs ? .logDirtyPages : []
        if isReadOnly { flags.insert(.readOnly) }
        return Memslot(
            id: SlotID(UInt32(id)),
            guestPhysicalAddress: GuestPhysicalAddress(run.lowerBound << 12),
            size: ByteCount(UInt64(run.count) << 12),
            userspaceAddress: UserspaceAddress(0x10_0000_0000 + backing << 12), flags: flags)
    }
}

/// A pair of kinds that stands for all pairs that the planner can't tell from it.
struct KindPair {
    let old: SmallKind
    let new: SmallKind
    /// For how many pairs of kinds it stands.
    let weight: UInt64

    private static let plain = SmallKind()
    private static let logging = SmallKind(logs: true)

    private static let sameSize: [KindPair] =
        [(plain, plain), (plain, logging), (logging, plain), (logging, logging)]
        .map { KindPair(old: $0.0, new: $0.1, weight: 4) } + [
            KindPair(old: plain, new: SmallKind(backing: 1), weight: 16),
            KindPair(old: plain, new: SmallKind(isReadOnly: true), weight: 32),
        ]

    /// The pairs that stand for all 64, or for the 8 of a slot that is in one array only.
    ///
    /// What the planner sees of a slot in both arrays is whether it moves, whether its log is
    /// switched, and whether it must be replaced; what it sees of one that is in one array is that.
    static func standing(for old: Range<UInt64>?, _ new: Range<UInt64>?) -> [KindPair] {
        guard let old, let new else {
            let weight: UInt64 = old == nil && new == nil ? 1 : UInt64(SmallKind.count)
            return [KindPair(old: plain, new: plain, weight: weight)]
        }
        if old.count != new.count { return [KindPair(old: plain, new: plain, weight: 64)] }
        return sameSize
    }
}

extension SeededRandom {
    /// An array with one of the layouts, ascending by id.
    mutating func array(of layouts: [SmallLayout]) -> [Memslot] {
        let layout = layouts[Int(next() % UInt64(layouts.count))]
        return layout.runs.enumerated().compactMap { id, run in
            run.map { SmallKind.all[Int(next() >> 32) % SmallKind.count].slot(id, $0) }
        }
    }
}
