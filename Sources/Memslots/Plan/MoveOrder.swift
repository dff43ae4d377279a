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
    ///
    /// - Parameter effort: what the search for the fewest to break may cost; it is taken off.
    init(_ moves: [MemslotPair], effort: inout Int) {
        let waits = Self.waits(of: moves)
        if let order = Self.order(moves.count, waits: waits, without: []) {
            (direct, broken, isMinimum) = (order, [], true)
            return
        }
        let cut = FeedbackVertexSet(of: waits, effort: &effort)
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
        var ready = SmallestFirst<Int>()
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
