import Memslots

/// A stretch of addresses that no slot of either array crosses: the slots of both arrays that
/// touch it lie within it.
struct ChangeCell {
    var first: UInt64
    var end: UInt64
    /// Indices of the entries whose slot before lies here.
    var before: [Int] = []
    /// Indices of the entries whose slot after lies here.
    var after: [Int] = []

    /// The cells of one address space, ascending. Slots without a byte have none.
    static func cells(of entries: [ChangeEntry]) -> [ChangeCell] {
        struct Extent {
            var slot: Memslot
            var entry: Int
            var isBefore: Bool
        }
        var extents: [Extent] = []
        for (index, entry) in entries.enumerated() {
            if let slot = entry.before {
                extents.append(.init(slot: slot, entry: index, isBefore: true))
            }
            if let slot = entry.after {
                extents.append(.init(slot: slot, entry: index, isBefore: false))
            }
        }
        extents.removeAll { $0.slot.end <= $0.slot.first }
        extents.sort { ($0.slot.first, $0.entry) < ($1.slot.first, $1.entry) }

        var cells: [ChangeCell] = []
        for extent in extents {
            if let last = cells.last, extent.slot.first < last.end {
                cells[cells.count - 1].end = max(last.end, extent.slot.end)
            } else {
                cells.append(ChangeCell(first: extent.slot.first, end: extent.slot.end))
            }
            if extent.isBefore {
                cells[cells.count - 1].before.append(extent.entry)
            } else {
                cells[cells.count - 1].after.append(extent.entry)
            }
        }
        return cells
    }

    /// The addresses at which a slot of either array begins or ends, ascending.
    func boundaries(_ entries: [ChangeEntry]) -> [UInt64] {
        let slots =
            before.compactMap { entries[$0].before } + after.compactMap { entries[$0].after }
        return Set(slots.flatMap { [$0.first, $0.end] }).sorted()
    }

    /// The cell as folding sees it, with `hole` unmapped bytes before it.
    func foldItem(_ entries: [ChangeEntry], hole: UInt64) -> FoldItem<ChangeCellLikeness> {
        let marks = Set((before + after).map { entries[$0].mark })
        let isQuiet = marks == [.unchanged]
        let rows = (isQuiet ? 1 : max(1, boundaries(entries).count - 1)) + (hole > 0 ? 1 : 0)
        var likeness: ChangeCellLikeness?
        if isQuiet {
            likeness = ChangeCellLikeness(mark: .unchanged)
        } else if before.count + after.count == 1, let mark = marks.first {
            let entry = entries[(before + after)[0]]
            let shift = (entry.after?.first ?? 0) &- (entry.before?.first ?? 0)
            likeness = ChangeCellLikeness(
                mark: mark, isBefore: !before.isEmpty, size: end - first, hole: hole,
                shift: mark == .moved ? shift : 0)
        }
        let weight = (end - first) >> 1 | (isQuiet ? 0 : 1 << 63)
        return FoldItem(likeness: likeness, rows: rows, weight: weight)
    }
}

/// What makes two cells alike.
struct ChangeCellLikeness: Equatable {
    var mark: ChangeMark
    var isBefore = false
    var size: UInt64 = 0
    var hole: UInt64 = 0
    var shift: UInt64 = 0
}
