/// Half-open ranges in groups, and which of them meet an earlier one.
///
/// The groups are address spaces, or the files that guest_memfd slots are bound to. The clean
/// case is found by one sort and one sweep; only where something overlaps are all
/// overlaps computed, in n log n steps however many ranges meet.
struct EarliestOverlap {
    struct Interval {
        var group, start, end: UInt64
        /// The position in the submitted array; intervals come in this order.
        var index: Int
    }

    /// Returns each range that overlaps an earlier one, with the earliest that it overlaps, in array
    /// order.
    ///
    /// - Parameter intervals: non-empty ranges, ascending by `index`.
    static func find(in intervals: [Interval]) -> [(index: Int, earliest: Int)] {
        guard haveOverlap(intervals) else { return [] }
        var found: [(index: Int, earliest: Int)] = []
        for (_, group) in Dictionary(grouping: intervals, by: \.group) {
            found += findInOneGroup(group)
        }
        return found.sorted { $0.index < $1.index }
    }

    private static func haveOverlap(_ intervals: [Interval]) -> Bool {
        func isBefore(_ left: Interval, _ right: Interval) -> Bool {
            (left.group, left.start) < (right.group, right.start)
        }
        func overlapsNext(_ sorted: [Interval]) -> Bool {
            for (left, right) in zip(sorted, sorted.dropFirst())
            where left.group == right.group && right.start < left.end { return true }
            return false
        }
        let inOrder = zip(intervals, intervals.dropFirst()).allSatisfy { !isBefore($1, $0) }
        return overlapsNext(inOrder ? intervals : intervals.sorted(by: isBefore))
    }

    /// Cuts the group's line at every start and end. The first range to cover a piece owns it;
    /// the earliest range that another meets is then the smallest owner among its pieces.
    private static func findInOneGroup(_ intervals: [Interval]) -> [(index: Int, earliest: Int)] {
        var cuts = intervals.flatMap { [$0.start, $0.end] }.sorted()
        cuts = cuts.enumerated().filter { $0.offset == 0 || cuts[$0.offset - 1] != $0.element }
            .map(\.element)
        var owners = MinimumTree(count: cuts.count)
        var nextFree = Array(0...cuts.count)

        var found: [(index: Int, earliest: Int)] = []
        for interval in intervals {
            let first = cuts.partitioningIndex { $0 >= interval.start }
            let end = cuts.partitioningIndex { $0 >= interval.end }
            if let owner = owners.minimum(in: first..<end) { found.append((interval.index, owner)) }
            var piece = firstFree(from: first, in: &nextFree)
            while piece < end {
                owners.set(piece, to: interval.index)
                nextFree[piece] = piece + 1
                piece = firstFree(from: piece, in: &nextFree)
            }
        }
        return found
    }

    private static func firstFree(from piece: Int, in nextFree: inout [Int]) -> Int {
        var piece = piece
        while nextFree[piece] != piece {
            nextFree[piece] = nextFree[nextFree[piece]]
            piece = nextFree[piece]
        }
        return piece
    }
}

/// The smallest of a range of values that are set one by one.
private struct MinimumTree {
    private var nodes: [Int]
    private let leaves: Int

    init(count: Int) {
        leaves = count
        nodes = Array(repeating: .max, count: 2 * count)
    }

    mutating func set(_ index: Int, to value: Int) {
        var node = index + leaves
        while node >= 1 {
            nodes[node] = min(nodes[node], value)
            node /= 2
        }
    }

    func minimum(in range: Range<Int>) -> Int? {
        var low = range.lowerBound + leaves
        var high = range.upperBound + leaves
        var smallest = Int.max
        while low < high {
            if low & 1 == 1 {
                smallest = min(smallest, nodes[low])
                low += 1
            }
            if high & 1 == 1 {
                high -= 1
                smallest = min(smallest, nodes[high])
            }
            low /= 2
            high /= 2
        }
        return smallest == .max ? nil : smallest
    }
}

/// Whether an array that changes little has slots that overlap, at the cost of what changes.
///
/// Slots that stay were validated in the present array: they don't overlap each other. Those that
/// changed are compared with each other, and looked up among the present ones. Measured: a plan of
/// 512 slots of which 5 change, out of the order of addresses, takes 6 µs, and 11 with all sorted.
struct ChangedOverlaps {
    private let slots: [Memslot]
    private let present: MemslotArray
    /// Positions of present slots that don't stay as they are, ascending.
    private let gone: [UInt32]
    /// Positions of slots that are not among the present ones, ascending by address.
    private let new: [UInt32]

    /// Indexes `slots`, each valid by itself. `changes` are the places at which they differ from
    /// `present`.
    init(in slots: [Memslot], _ changes: ChangedPlaces, present: MemslotArray) {
        (self.slots, self.present) = (slots, present)
        let none = ChangedPlaces.Place.none
        gone = changes.places.lazy.map(\.old).filter { $0 != none }
        new = AscendingOrder.byAddress(
            changes.places.lazy.map(\.new).filter { $0 != none } as [UInt32], of: slots)
    }

    /// Whether two of the slots share a guest page.
    var exist: Bool { meetEachOther || new.contains { overlapsUnchangedSlot(slots[Int($0)]) } }

    private var meetEachOther: Bool {
        zip(new, new.dropFirst()).contains { left, right in
            slots[Int(left)].overlaps(slots[Int(right)])
        }
    }

    private func overlapsUnchangedSlot(_ slot: Memslot) -> Bool {
        let range = slot.guestPhysicalAddress.rawValue..<slot.guestPhysicalEnd.rawValue
        return present.index.contains(meeting: range, in: slot.addressSpace.rawValue) { position in
            let place = gone.partitioningIndex { $0 >= position }
            return place == gone.count || gone[place] != position
        }
    }
}
