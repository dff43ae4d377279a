import Memslots

/// Where each dirty page must be told after a commit, worked out run by run from the promise alone:
/// a bit whose log ends goes to every logging slot that maps the page, else to the receipt.
struct PageLedger {
    /// What each logging slot of the new array must tell.
    private(set) var told: [SlotKey: DirtyBitmap] = [:]
    /// What the receipt must hand back.
    private(set) var handedBack: [Memslot: [Range<UInt64>]] = [:]

    init(
        _ dirt: [SlotKey: DirtyBitmap], of before: [Memslot], ended: [SlotCall],
        begun: [SlotCall], to after: [Memslot], startsFull: Bool
    ) {
        let ended = Set(ended.map(\.key))
        let begun = Set(begun.map(\.key))
        let logging = after.filter(\.isLogging)
        for slot in logging {
            var bits = DirtyBitmap(
                pageCount: slot.pageCount, isFull: startsFull && begun.contains(slot.key))
            if !ended.contains(slot.key), let kept = dirt[slot.key] { bits.formUnion(kept) }
            told[slot.key] = bits
        }
        for slot in before where ended.contains(slot.key) {
            guard var left = dirt[slot.key], !left.isEmpty else { continue }
            for run in left.runs {
                for other in logging {
                    guard let shared = Self.shared(run, of: slot, with: other) else { continue }
                    told[other.key]?.insert(shared.there)
                    left.remove(shared.here)
                }
            }
            if !left.isEmpty { handedBack[slot] = left.runs }
        }
    }

    /// The part of `run` whose host pages `other` maps too, in pages of each.
    private static func shared(
        _ run: Range<UInt64>, of slot: Memslot, with other: Memslot
    ) -> (here: Range<UInt64>, there: Range<UInt64>)? {
        guard slot.memory?.object == other.memory?.object else { return nil }
        let (base, otherBase) = (hostPage(slot), hostPage(other))
        let host = base + run.lowerBound..<base + run.upperBound
        let common = host.clamped(to: otherBase..<otherBase + other.pageCount)
        guard !common.isEmpty else { return nil }
        return (
            common.lowerBound - base..<common.upperBound - base,
            common.lowerBound - otherBase..<common.upperBound - otherBase
        )
    }

    private static func hostPage(_ slot: Memslot) -> UInt64 {
        (slot.memory?.offset.rawValue ?? slot.userspaceAddress.rawValue) / pageSize.rawValue
    }
}
