import Memslots

/// A range of guest memory in one address space. Never empty.
struct SpaceRange: Hashable {
    var space: AddressSpaceID
    var start: UInt64
    var end: UInt64

    var count: UInt64 { end - start }

    /// What both cover; `nil` where they don't meet.
    func intersection(_ other: SpaceRange) -> SpaceRange? {
        let start = max(start, other.start)
        let end = min(end, other.end)
        guard space == other.space, start < end else { return nil }
        return SpaceRange(space: space, start: start, end: end)
    }
}

extension Memslot {
    /// Only for a slot whose words a kernel took: not empty, no wrap.
    var range: SpaceRange {
        SpaceRange(
            space: addressSpace, start: guestPhysicalAddress.rawValue,
            end: guestPhysicalEnd.rawValue)
    }
}

/// Ranges that don't meet, each with a value, in the order of their addresses.
struct SpaceRanges<Value> {
    typealias Element = (range: SpaceRange, value: Value)

    private(set) var elements: [Element] = []

    /// Adds a range that meets none of those here.
    mutating func insert(_ range: SpaceRange, _ value: Value) {
        elements.insert((range, value), at: firstIndex(endingAfter: range))
    }

    /// The parts of `range` that are here.
    func pieces(in range: SpaceRange) -> [Element] {
        elements[indices(meeting: range)].compactMap { element in
            element.range.intersection(range).map { ($0, element.value) }
        }
    }

    /// The parts of `range` that are not here.
    func gaps(in range: SpaceRange) -> [SpaceRange] {
        var gaps: [SpaceRange] = []
        var start = range.start
        for (piece, _) in pieces(in: range) {
            if piece.start > start {
                gaps.append(SpaceRange(space: range.space, start: start, end: piece.start))
            }
            start = piece.end
        }
        if start < range.end {
            gaps.append(SpaceRange(space: range.space, start: start, end: range.end))
        }
        return gaps
    }

    /// Takes `range` out, and gives back the parts of it that were here.
    mutating func remove(_ range: SpaceRange) -> [Element] {
        let indices = indices(meeting: range)
        guard let first = indices.first, let last = indices.last else { return [] }
        let removed = pieces(in: range)
        var kept: [Element] = []
        let head = elements[first]
        if head.range.start < range.start {
            kept.append(
                (
                    SpaceRange(space: range.space, start: head.range.start, end: range.start),
                    head.value
                ))
        }
        let tail = elements[last]
        if tail.range.end > range.end {
            kept.append(
                (
                    SpaceRange(space: range.space, start: range.end, end: tail.range.end),
                    tail.value
                ))
        }
        elements.replaceSubrange(indices, with: kept)
        return removed
    }

    private func indices(meeting range: SpaceRange) -> Range<Int> {
        let first = firstIndex(endingAfter: range)
        var end = first
        while end < elements.count, elements[end].range.space == range.space,
            elements[end].range.start < range.end
        {
            end += 1
        }
        return first..<end
    }

    /// The first element that ends after `range` starts.
    private func firstIndex(endingAfter range: SpaceRange) -> Int {
        elements.partitioningIndex(where: {
            ($0.range.space, $0.range.end) > (range.space, range.start)
        })
    }
}
