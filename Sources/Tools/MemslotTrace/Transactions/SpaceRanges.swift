import Memslots

/// A range of guest memory in one address space. Never empty.
struct SpaceRange: Hashable {
    var space: AddressSpaceID
    var start, end: UInt64

    var count: UInt64 { end - start }

    /// The part that both cover; `nil` if they do not overlap.
    func intersection(_ other: SpaceRange) -> SpaceRange? {
        let start = max(start, other.start)
        let end = min(end, other.end)
        guard space == other.space, start < end else { return nil }
        return SpaceRange(space: space, start: start, end: end)
    }

    /// The parts that `other` does not cover, ascending.
    func subtracting(_ other: SpaceRange?) -> [SpaceRange] {
        guard let shared = other.flatMap(intersection) else { return [self] }
        return [(start, shared.start), (shared.end, end)].filter { $0 < $1 }.map {
            SpaceRange(space: space, start: $0, end: $1)
        }
    }
}

extension Memslot {
    /// Only for a slot that a kernel accepted: not empty, no overflow.
    var range: SpaceRange {
        SpaceRange(
            space: addressSpace, start: guestPhysicalAddress.rawValue,
            end: guestPhysicalEnd.rawValue)
    }
}

/// Disjoint ranges, each with a value, in the order of their addresses.
struct SpaceRanges<Value> {
    typealias Element = (range: SpaceRange, value: Value)

    private(set) var elements: [Element] = []

    /// Adds a range that overlaps none of these.
    mutating func insert(_ range: SpaceRange, _ value: Value) {
        elements.insert((range, value), at: firstIndex(endingAfter: range))
    }

    func pieces(in range: SpaceRange) -> [Element] {
        elements[indices(meeting: range)].compactMap { element in
            element.range.intersection(range).map { ($0, element.value) }
        }
    }

    /// Removes `range`, and returns the parts of it that were covered.
    mutating func remove(_ range: SpaceRange) -> [Element] {
        let indices = indices(meeting: range)
        guard !indices.isEmpty else { return [] }
        let removed = pieces(in: range)
        let kept = elements[indices].flatMap { old, value in
            old.subtracting(range).map { ($0, value) }
        }
        elements.replaceSubrange(indices, with: kept)
        return removed
    }

    private func indices(meeting range: SpaceRange) -> Range<Int> {
        elements[firstIndex(endingAfter: range)...].prefix {
            $0.range.space == range.space && $0.range.start < range.end
        }.indices
    }

    /// The first element that ends after `range` starts.
    private func firstIndex(endingAfter range: SpaceRange) -> Int {
        elements.partitioningIndex(where: {
            ($0.range.space, $0.range.end) > (range.space, range.start)
        })
    }
}
