import Memslots

/// The axis that both sides of a change share, so that what stays stands at one height.
struct ChangeAxis {
    /// A stretch of the axis.
    struct Stretch {
        enum Kind {
            case slots
            case hole
            case fold(before: [Int], after: [Int])
        }

        var kind: Kind
        var first: UInt64
        var end: UInt64
        var y: Int
        var height: Int
    }

    private(set) var stretches: [Stretch] = []
    /// Where the axis ends.
    private(set) var bottom: Int
    private var tops: [UInt64: Int] = [:]
    private var bottoms: [UInt64: Int] = [:]
    private var foldOfBefore: [Int: Int] = [:]
    private var foldOfAfter: [Int: Int] = [:]

    /// Lays out one address space from `y` downwards.
    init(_ entries: [ChangeEntry], y: Int, limit: Int?) {
        self.bottom = y
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
                if holes[index] > 0 {
                    append(.hole, cell.first - holes[index], cell.first)
                }
                let edges = cell.boundaries(entries)
                for (first, end) in zip(edges, edges.dropFirst()) { append(.slots, first, end) }
            case .fold(let range):
                let before = cells[range].flatMap(\.before)
                let after = cells[range].flatMap(\.after)
                for entry in before { foldOfBefore[entry] = stretches.count }
                for entry in after { foldOfAfter[entry] = stretches.count }
                let (first, end) = (cells[range.lowerBound].first, cells[range.upperBound - 1].end)
                append(.fold(before: before, after: after), first, end)
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
        stretches.append(
            Stretch(kind: kind, first: first, end: end, y: bottom, height: height))
        tops[first] = bottom
        bottom += height
        bottoms[end] = bottom
    }

    /// From where to where the slot of an entry reaches; `nil` for one that isn't drawn.
    func span(of entry: Int, in entries: [ChangeEntry], isBefore: Bool) -> Range<Int>? {
        if let fold = (isBefore ? foldOfBefore : foldOfAfter)[entry] {
            return stretches[fold].y..<stretches[fold].y + stretches[fold].height
        }
        guard let slot = isBefore ? entries[entry].before : entries[entry].after,
            let top = tops[slot.first], let bottom = bottoms[slot.end], top < bottom
        else { return nil }
        return top..<bottom
    }

    /// Whether the slot of an entry is folded away.
    func isFolded(_ entry: Int, isBefore: Bool) -> Bool {
        (isBefore ? foldOfBefore : foldOfAfter)[entry] != nil
    }
}
