/// Disjoint page ranges in ascending order, each with the id of its owner.
///
/// The kernel keeps a red-black tree of guest pages. This is a list of short sorted leaves: a search
/// is logarithmic, and a change moves at most the entries of one leaf, even among a million. Ranges
/// of different address spaces are independent.
struct PageOrder: Sendable {
    struct Entry: Hashable, Sendable {
        var space, id: UInt32
        var pages: Range<UInt64>
    }

    /// The most entries of a leaf. Small enough to move in well under a microsecond.
    static let leafCapacity = 256

    /// Ascending. No leaf is empty.
    private var leaves: [[Entry]] = []

    /// The ranges of `space` that share a page with `pages`, ascending.
    func entries(meeting pages: Range<UInt64>, in space: UInt32) -> [Entry] {
        guard !pages.isEmpty else { return [] }
        var found: [Entry] = []
        var position = position(before: pages.upperBound, in: space)
        while let here = position {
            let entry = leaves[here.leaf][here.index]
            guard entry.space == space, entry.pages.upperBound > pages.lowerBound else { break }
            found.append(entry)
            position = self.position(before: here)
        }
        found.reverse()
        return found
    }

    /// Whether a range of `space` other than that of `id` shares a page with `pages`.
    ///
    /// - Precondition: `pages` is not empty.
    func isOccupied(_ pages: Range<UInt64>, in space: UInt32, except id: UInt32?) -> Bool {
        var position = position(before: pages.upperBound, in: space)
        // At most one range is skipped, so this reads two at most.
        while let here = position {
            let entry = leaves[here.leaf][here.index]
            guard entry.space == space, entry.pages.upperBound > pages.lowerBound else {
                return false
            }
            if entry.id != id { return true }
            position = self.position(before: here)
        }
        return false
    }

    /// Adds a range.
    ///
    /// - Precondition: it overlaps no other of its address space.
    mutating func insert(_ entry: Entry) {
        guard let before = position(before: entry.pages.lowerBound, in: entry.space) else {
            if leaves.isEmpty { leaves.append([]) }
            leaves[0].insert(entry, at: 0)
            splitIfFull(0)
            return
        }
        leaves[before.leaf].insert(entry, at: before.index + 1)
        splitIfFull(before.leaf)
    }

    /// Removes the range of `space` that begins at `firstPage`, if there is one.
    mutating func remove(startingAt firstPage: UInt64, in space: UInt32) {
        guard let here = position(before: firstPage + 1, in: space),
            leaves[here.leaf][here.index].space == space,
            leaves[here.leaf][here.index].pages.lowerBound == firstPage
        else { return }
        leaves[here.leaf].remove(at: here.index)
        // Sparse leaves would waste memory.
        guard leaves[here.leaf].count < Self.leafCapacity / 8 else { return }
        if !mergeIfSmall(here.leaf) { _ = here.leaf > 0 && mergeIfSmall(here.leaf - 1) }
        if here.leaf < leaves.count, leaves[here.leaf].isEmpty { leaves.remove(at: here.leaf) }
    }

    private struct Position { var leaf, index: Int }

    /// The last entry that begins before `page` of `space`. It may be of a lower space.
    private func position(before page: UInt64, in space: UInt32) -> Position? {
        func isBefore(_ entry: Entry) -> Bool {
            entry.space < space || entry.space == space && entry.pages.lowerBound < page
        }
        let leaf = leaves.count(while: { isBefore($0[0]) })
        guard leaf > 0 else { return nil }
        let index = leaves[leaf - 1].count(while: isBefore)
        return Position(leaf: leaf - 1, index: index - 1)
    }

    private func position(before position: Position) -> Position? {
        if position.index > 0 { return Position(leaf: position.leaf, index: position.index - 1) }
        guard position.leaf > 0 else { return nil }
        return Position(leaf: position.leaf - 1, index: leaves[position.leaf - 1].count - 1)
    }

    private mutating func splitIfFull(_ leaf: Int) {
        guard leaves[leaf].count > Self.leafCapacity else { return }
        // Ascending inserts are the common case: the left leaf stays nearly full.
        let kept = Self.leafCapacity * 3 / 4
        leaves.insert(Array(leaves[leaf][kept...]), at: leaf + 1)
        leaves[leaf].removeSubrange(kept...)
    }

    private mutating func mergeIfSmall(_ leaf: Int) -> Bool {
        guard leaf + 1 < leaves.count,
            leaves[leaf].count + leaves[leaf + 1].count <= Self.leafCapacity / 2
        else { return false }
        leaves[leaf] += leaves.remove(at: leaf + 1)
        return true
    }
}

extension Array {
    /// The number of elements that satisfy `condition`. They precede all others.
    fileprivate func count(while condition: (Element) -> Bool) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = low + (high - low) / 2
            if condition(self[middle]) { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
