import MemslotTestKit
import Memslots

/// The pages of slots in a small world: a run of pages for each id, or none.
struct SmallLayout {
    /// By id.
    var runs: [Range<UInt64>?]

    /// All layouts of up to `ids` slots on `pages` pages without overlap.
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

/// The other properties of a slot in a small world: two flags and two backings.
struct SmallKind: Hashable {
    var logs = false
    var isReadOnly = false
    var backing: UInt64 = 0

    static let count = 8

    static let all: [SmallKind] = (0..<UInt64(count)).map {
        SmallKind(logs: $0 & 1 != 0, isReadOnly: $0 & 2 != 0, backing: $0 >> 2)
    }

    /// Backings differ by one page: slots map the same host pages wholly, partly or not at all.
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

/// A pair of kinds that represents all pairs that the planner cannot distinguish.
struct KindPair {
    let old, new: SmallKind
    /// The number of pairs of kinds that it represents.
    let weight: UInt64

    private static let plain = SmallKind()
    private static let logging = SmallKind(logs: true)

    private static let sameSize: [KindPair] =
        [(plain, plain), (plain, logging), (logging, plain), (logging, logging)]
        .map { KindPair(old: $0.0, new: $0.1, weight: 4) } + [
            KindPair(old: plain, new: SmallKind(backing: 1), weight: 16),
            KindPair(old: plain, new: SmallKind(isReadOnly: true), weight: 32),
        ]

    /// The pairs that represent all 64, or the 8 of a slot in one array. The planner distinguishes
    /// whether a slot in both moves, whether its log changes, and whether it must be replaced.
    static func representing(_ old: Range<UInt64>?, _ new: Range<UInt64>?) -> [KindPair] {
        guard let old, let new else {
            let weight: UInt64 = old == nil && new == nil ? 1 : UInt64(SmallKind.count)
            return [KindPair(old: plain, new: plain, weight: weight)]
        }
        if old.count != new.count { return [KindPair(old: plain, new: plain, weight: 64)] }
        return sameSize
    }
}

extension SeededRandom {
    /// Draws an array with one of the layouts, ascending by id.
    mutating func array(of layouts: [SmallLayout]) -> [Memslot] {
        let layout = layouts[Int(next() % UInt64(layouts.count))]
        return layout.runs.enumerated().compactMap { id, run in
            run.map { SmallKind.all[Int(next() >> 32) % SmallKind.count].slot(id, $0) }
        }
    }
}
