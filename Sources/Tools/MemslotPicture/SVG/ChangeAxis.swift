import Memslots

/// The axis that both sides of a change share: unchanged slots are at the same height.
struct ChangeAxis {
    struct Stretch {
        enum Kind {
            case slots, hole
            case fold([ChangeCell.Part])
        }

        var kind: Kind
        var first, end: UInt64
        var y, height: Int
    }

    let entries: [ChangeEntry]
    private(set) var stretches: [Stretch] = []
    private(set) var bottom: Int
    private var tops: [UInt64: Int] = [:]
    private var bottoms: [UInt64: Int] = [:]
    private var folds: [ChangeSide: [Int: Int]] = [:]

    init(_ entries: [ChangeEntry], y: Int, limit: Int?) {
        (self.entries, bottom) = (entries, y)
        let cells = ChangeCell.cells(of: entries)
        var reached: UInt64 = 0
        let holes = cells.map { cell in
            defer { reached = cell.end }
            return cell.first - reached
        }
        let items = zip(cells, holes).map { $0.foldItem(entries, hole: $1) }
        for piece in folded(items, limit: limit) {
            switch piece {
            case .item(let index):
                let cell = cells[index]
                if holes[index] > 0 { append(.hole, cell.first - holes[index], cell.first) }
                let edges = cell.boundaries
                for (first, end) in zip(edges, edges.dropFirst()) { append(.slots, first, end) }
            case .fold(let range):
                let parts = cells[range].flatMap(\.parts)
                for part in parts { folds[part.side, default: [:]][part.entry] = stretches.count }
                let (first, end) = (cells[range.lowerBound].first, cells[range.upperBound - 1].end)
                append(.fold(parts), first, end)
            }
        }
    }

    private mutating func append(_ kind: Stretch.Kind, _ first: UInt64, _ end: UInt64) {
        let octaves64 = LogScale.abovePage(end - first)
        let height =
            switch kind {
            case .slots: 30 + octaves64 / 20
            case .hole: 30 + octaves64 / 128
            case .fold: 62
            }
        stretches.append(Stretch(kind: kind, first: first, end: end, y: bottom, height: height))
        tops[first] = bottom
        bottom += height
        bottoms[end] = bottom
    }

    /// The vertical range of an entry's slot; `nil` if it is not drawn.
    func span(of entry: Int, _ side: ChangeSide) -> Range<Int>? {
        if let fold = folds[side]?[entry] {
            return stretches[fold].y..<stretches[fold].y + stretches[fold].height
        }
        guard let slot = entries[entry][side],
            let top = tops[slot.first], let bottom = bottoms[slot.end], top < bottom
        else { return nil }
        return top..<bottom
    }

    /// Where one side has no memory, ascending; adjacent stretches are one hole.
    func holes(_ side: ChangeSide) -> [Stretch] {
        let slots = entries.compactMap { $0[side] }.sorted { $0.first < $1.first }
        var next = 0
        var holes: [Stretch] = []
        for stretch in stretches {
            if case .fold = stretch.kind { continue }
            while next < slots.count, slots[next].end <= stretch.first { next += 1 }
            if next < slots.count, slots[next].first < stretch.end { continue }
            if let last = holes.last, last.end == stretch.first, last.y + last.height == stretch.y {
                holes[holes.count - 1].end = stretch.end
                holes[holes.count - 1].height += stretch.height
            } else {
                holes.append(stretch)
            }
        }
        return holes
    }

    func isFolded(_ entry: Int, _ side: ChangeSide) -> Bool { folds[side]?[entry] != nil }
}

/// A range of addresses whose bounds no slot of either array crosses.
struct ChangeCell {
    /// A slot, of an entry by its index.
    typealias Part = (slot: Memslot, entry: Int, side: ChangeSide)

    var first, end: UInt64
    var parts: [Part] = []

    /// The cells of one address space, ascending. Empty slots have none.
    static func cells(of entries: [ChangeEntry]) -> [ChangeCell] {
        let parts = entries.enumerated().flatMap { index, entry in
            ChangeSide.allCases.compactMap { side -> Part? in
                entry[side].flatMap { $0.first < $0.end ? ($0, index, side) : nil }
            }
        }
        var cells: [ChangeCell] = []
        for part in parts.sorted(by: { ($0.slot.first, $0.entry) < ($1.slot.first, $1.entry) }) {
            if let last = cells.last, part.slot.first < last.end {
                cells[cells.count - 1].end = max(last.end, part.slot.end)
            } else {
                cells.append(ChangeCell(first: part.slot.first, end: part.slot.end))
            }
            cells[cells.count - 1].parts.append(part)
        }
        return cells
    }

    /// The addresses at which a slot of either array begins or ends, ascending.
    var boundaries: [UInt64] { Set(parts.flatMap { [$0.slot.first, $0.slot.end] }).sorted() }

    /// The cell for folding, with `hole` unmapped bytes before it.
    func foldItem(_ entries: [ChangeEntry], hole: UInt64) -> FoldItem<MapLikeness> {
        let marks = Set(parts.map { entries[$0.entry].mark })
        let isQuiet = marks == [.unchanged]
        let rows = (isQuiet ? 1 : max(1, boundaries.count - 1)) + (hole > 0 ? 1 : 0)
        var likeness: MapLikeness?
        if isQuiet {
            likeness = MapLikeness(mark: .unchanged)
        } else if parts.count == 1, let mark = marks.first {
            let entry = entries[parts[0].entry]
            let shift = (entry.after?.first ?? 0) &- (entry.before?.first ?? 0)
            likeness = MapLikeness(
                mark: mark, isGone: parts[0].side == .before, size: end - first, hole: hole,
                shift: mark == .moved ? shift : 0)
        }
        let weight = (end - first) >> 1 | (isQuiet ? 0 : 1 << 63)
        return FoldItem(likeness: likeness, rows: rows, weight: weight)
    }
}
