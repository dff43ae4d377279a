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
        let waits = MoveWaits(moves)
        if waits.isEmpty {
            (direct, broken, isMinimum) = (Array(moves.indices), [], true)
            return
        }
        let waiters = waits.reversed
        var removed = [Bool](repeating: false, count: moves.count)
        let order = Self.order(waits, waiters, without: removed)
        if order.count == moves.count {
            (direct, broken, isMinimum) = (order, [], true)
            return
        }
        // The moves that could be ordered are on no circle.
        var circles = MoveCircles(waits, waiters, without: order)
        let rings = circles.takeRings()
        let cut = FeedbackVertexSet(of: circles.rest, effort: &effort)
        broken = (rings + cut.vertices).sorted()
        isMinimum = cut.isMinimum
        for move in broken { removed[move] = true }
        // Without the cut there is no circle, so this orders all that is left.
        direct = Self.order(waits, waiters, without: removed)
    }

    /// The moves but for those `removed`, each after those that it waits for; without those that
    /// wait for a circle.
    private static func order(
        _ waits: MoveWaits, _ waiters: MoveWaits, without removed: [Bool]
    ) -> [Int] {
        var missing = [UInt32](repeating: 0, count: waits.count)
        var ready = SmallestFirst<Int>()
        for move in 0..<waits.count where !removed[move] {
            for blocker in waits.blockers(of: move) where !removed[Int(blocker)] {
                missing[move] += 1
            }
            if missing[move] == 0 { ready.insert(move) }
        }
        var order: [Int] = []
        order.reserveCapacity(waits.count)
        while let move = ready.removeSmallest() {
            order.append(move)
            for waiter in waiters.blockers(of: move) where !removed[Int(waiter)] {
                missing[Int(waiter)] -= 1
                if missing[Int(waiter)] == 0 { ready.insert(Int(waiter)) }
            }
        }
        return order
    }
}
