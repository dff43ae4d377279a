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
                pageCount: slot.pageCount, isFull: startsFull && begun.contains(slot.assignedKey))
            if !ended.contains(slot.assignedKey), let kept = dirt[slot.assignedKey] {
                bits.formUnion(kept)
            }
            told[slot.assignedKey] = bits
        }
        for slot in before where ended.contains(slot.assignedKey) {
            guard var left = dirt[slot.assignedKey], !left.isEmpty else { continue }
            for run in left.runs {
                for other in logging {
                    guard let shared = Self.shared(run, of: slot, with: other) else { continue }
                    told[other.assignedKey]?.insert(shared.there)
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

/// Dirty pages put where a transaction could lose them: some known to the kernel alone, some to
/// the table alone, some to both.
struct Soil {
    /// What each logging slot must tell.
    private(set) var expected: [SlotKey: DirtyBitmap]
    private let slots: [Memslot]
    private let startsFull: Bool
    private var isFresh = true

    init(_ slots: [Memslot], capabilities: Capabilities) {
        self.slots = slots.filter(\.isLogging)
        startsFull = capabilities.dirtyLogStartsFull
        expected = [:]
        for slot in self.slots {
            expected[slot.assignedKey] = DirtyBitmap(pageCount: slot.pageCount, isFull: startsFull)
        }
    }

    mutating func spread(on vm: any SweptVM, _ table: MemslotTable) throws(DirtyLogError) {
        defer { isFresh = false }
        guard vm.takesWrites else { return try thinOut(table) }
        for (index, slot) in slots.enumerated() {
            _ = try table.dirtyLog(of: slot, clear: true)
            var bits = DirtyBitmap(pageCount: slot.pageCount)
            defer { expected[slot.assignedKey] = bits }
            // The guest can't write there.
            if slot.flags.contains(.readOnly) { continue }
            let kept = Self.pages(of: slot, index, in: [2, 3])
            vm.write(kept, of: slot)
            _ = try table.dirtyLog(of: slot)
            do throws(Errno) {
                // Where reading leaves the log alone, the kernel would still know them too.
                _ = try vm.backend.readDirtyLog(of: slot, clear: true)
            } catch {
                throw .backend(error)
            }
            let written = Self.pages(of: slot, index, in: [1, 3])
            vm.write(written, of: slot)
            for page in kept + written { bits.insert(page..<page + 1) }
        }
    }

    /// Without a guest: logs began full; half of them are thinned out, so that the rest is the
    /// table's to keep.
    private mutating func thinOut(_ table: MemslotTable) throws(DirtyLogError) {
        guard isFresh, startsFull else { return }
        for (index, slot) in slots.enumerated() where index % 2 == 1 {
            let pages = slot.pageCount / 3..<slot.pageCount / 3 + 1
            _ = try table.dirtyLog(of: slot, pages: pages, clear: true)
            expected[slot.assignedKey]?.remove(pages)
        }
    }

    /// Pages at the slot's edges and in its middle, dealt out to four kinds by turns.
    private static func pages(of slot: Memslot, _ index: Int, in kinds: [Int]) -> [UInt64] {
        let count = slot.pageCount
        var places: [UInt64] = [0, 1, 2, 3, 5, 63, 64, count / 2]
        if count > 1 { places += [count - 2, count - 1] }
        let unique = Set(places.filter { $0 < count }).sorted()
        return unique.enumerated().filter { kinds.contains(($0.offset + index) % 4) }
            .map(\.element)
    }
}
