/// In which order slots can move so that each target is free, and which slots can't just move.
struct MoveOrder {
    /// Positions of the moves that are done directly, in an order in which each target is free;
    /// by address space and id where nothing else decides.
    let direct: [Int]
    /// Positions of the fewest moves whose slots must get out of the way first, ascending.
    let broken: [Int]
    /// Whether ``broken`` is proved to be as small as can be.
    let isMinimum: Bool

    /// Orders `moves`, which are ascending by key.
    init(_ moves: [MemslotPair]) {
        let waits = Self.waits(of: moves)
        if let order = Self.order(moves.count, waits: waits, without: []) {
            (direct, broken, isMinimum) = (order, [], true)
            return
        }
        let cut = FeedbackVertexSet(of: waits)
        broken = cut.vertices.sorted()
        isMinimum = cut.isMinimum
        // Without the cut there is no circle, so there is an order.
        direct = Self.order(moves.count, waits: waits, without: Set(broken)) ?? []
    }

    /// For each move, the moves that must have left before its target is free.
    ///
    /// The slots of one array don't overlap, so ascending starts are ascending ends, and there
    /// are at most two edges a move in all.
    private static func waits(of moves: [MemslotPair]) -> [[Int]] {
        let byStart = moves.indices.sorted {
            let (left, right) = (moves[$0].before, moves[$1].before)
            return (left.addressSpace, left.guestPhysicalAddress)
                < (right.addressSpace, right.guestPhysicalAddress)
        }
        return moves.indices.map { move in
            let target = moves[move].after
            var position = byStart.partitioningIndex {
                let slot = moves[$0].before
                return (slot.addressSpace, slot.guestPhysicalEnd)
                    > (target.addressSpace, target.guestPhysicalAddress)
            }
            var blockers: [Int] = []
            while position < byStart.count, moves[byStart[position]].before.overlaps(target) {
                if byStart[position] != move { blockers.append(byStart[position]) }
                position += 1
            }
            return blockers
        }
    }

    /// The moves but for `removed`, each after those that it waits for; `nil` if they form circles.
    private static func order(
        _ count: Int, waits: [[Int]], without removed: Set<Int>
    ) -> [Int]? {
        var missing = Array(repeating: 0, count: count)
        var waiters = Array(repeating: [Int](), count: count)
        for move in 0..<count where !removed.contains(move) {
            for blocker in waits[move] where !removed.contains(blocker) {
                missing[move] += 1
                waiters[blocker].append(move)
            }
        }
        var ready = SmallestFirst()
        for move in 0..<count where missing[move] == 0 && !removed.contains(move) {
            ready.insert(move)
        }
        var order: [Int] = []
        order.reserveCapacity(count)
        while let move = ready.removeSmallest() {
            order.append(move)
            for waiter in waiters[move] {
                missing[waiter] -= 1
                if missing[waiter] == 0 { ready.insert(waiter) }
            }
        }
        return order.count == count - removed.count ? order : nil
    }
}

/// A binary heap of integers.
private struct SmallestFirst {
    private var items: [Int] = []

    mutating func insert(_ item: Int) {
        items.append(item)
        var child = items.count - 1
        while child > 0, items[child] < items[(child - 1) / 2] {
            items.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func removeSmallest() -> Int? {
        guard let smallest = items.first, let last = items.popLast() else { return nil }
        if items.isEmpty { return smallest }
        items[0] = last
        var parent = 0
        while true {
            var child = 2 * parent + 1
            guard child < items.count else { return smallest }
            if child + 1 < items.count, items[child + 1] < items[child] { child += 1 }
            guard items[child] < items[parent] else { return smallest }
            items.swapAt(child, parent)
            parent = child
        }
    }
}
