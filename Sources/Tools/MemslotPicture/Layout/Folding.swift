struct FoldItem<Likeness: Equatable> {
    /// Neighbours of equal likeness are folded into one row; `nil` equals nothing.
    var likeness: Likeness?
    var rows: Int
    /// Heavier items are shown first.
    var weight: UInt64
}

enum FoldPiece: Equatable {
    case item(Int)
    case fold(Range<Int>)

    var range: Range<Int> {
        switch self {
        case .item(let index): index..<index + 1
        case .fold(let range): range
        }
    }
}

/// Selects what to show of `items` in at most `limit` rows (but at least 8): all if it fits; else
/// runs of like neighbours are folded, and if that isn't enough, only the heaviest pieces remain.
func folded<Likeness>(_ items: [FoldItem<Likeness>], limit: Int?) -> [FoldPiece] {
    guard let limit = limit.map({ max($0, 8) }), items.reduce(0, { $0 + $1.rows }) > limit else {
        return items.indices.map { .item($0) }
    }
    let runs = foldingRuns(items)
    guard rows(of: runs, items) > limit else { return runs }
    return heaviest(of: runs, items, limit: limit)
}

private func rows<Likeness>(of pieces: [FoldPiece], _ items: [FoldItem<Likeness>]) -> Int {
    pieces.reduce(0) { sum, piece in
        guard case .item(let index) = piece else { return sum + 1 }
        return sum + items[index].rows
    }
}

private func foldingRuns<Likeness>(_ items: [FoldItem<Likeness>]) -> [FoldPiece] {
    var pieces: [FoldPiece] = []
    var start = 0
    while start < items.count {
        var end = start + 1
        if let likeness = items[start].likeness {
            while end < items.count, items[end].likeness == likeness { end += 1 }
        }
        if end - start >= 4 {
            pieces += [.item(start), .fold(start + 1..<end - 1), .item(end - 1)]
        } else {
            pieces += (start..<end).map { .item($0) }
        }
        start = end
    }
    return pieces
}

private func heaviest<Likeness>(
    of pieces: [FoldPiece], _ items: [FoldItem<Likeness>], limit: Int
) -> [FoldPiece] {
    var isShown = [Bool](repeating: false, count: pieces.count)
    var used = 1
    let weights = pieces.map { items[$0.range.lowerBound].weight }
    for index in pieces.indices.sorted(by: { weights[$0] > weights[$1] }) {
        // Each piece that is shown may leave a fold behind it.
        let cost = rows(of: [pieces[index]], items) + 1
        guard used + cost <= limit else { continue }
        isShown[index] = true
        used += cost
        if used + 2 > limit { break }
    }
    var result: [FoldPiece] = []
    var start = 0
    for (piece, isShown) in zip(pieces, isShown) where isShown {
        let range = piece.range
        if start < range.lowerBound { result.append(.fold(start..<range.lowerBound)) }
        result.append(piece)
        start = range.upperBound
    }
    if start < items.count { result.append(.fold(start..<items.count)) }
    return result
}
