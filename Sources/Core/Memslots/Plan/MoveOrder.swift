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
    /// - Parameter effort: what the search for the fewest to break may cost; it subtracts its cost.
    init(_ moves: [MemslotPair], effort: inout Int) {
        let waits = MoveWaits(moves)
        if waits.isEmpty {
            (direct, broken, isMinimum) = (Array(moves.indices), [], true)
            return
        }
        let waiters = MoveWaits(reversing: waits)
        var removed = [Bool](repeating: false, count: moves.count)
        let order = Self.order(waits, waiters, without: removed)
        if order.count == moves.count {
            (direct, broken, isMinimum) = (order, [], true)
            return
        }
        // The moves that could be ordered are on no cycle.
        var cycles = MoveCycles(waits, waiters, without: order)
        let rings = cycles.removeRings()
        let cut = FeedbackVertexSet(of: cycles.rest, effort: &effort)
        broken = (rings + cut.vertices).sorted()
        isMinimum = cut.isMinimum
        for move in broken { removed[move] = true }
        // Without the cut there is no cycle, so this orders all that is left.
        direct = Self.order(waits, waiters, without: removed)
    }

    /// The moves but for those `removed`, each after those that it waits for; without those that
    /// wait for a cycle.
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

/// For each move, the moves whose slots must have left before its target is free.
///
/// The slots of one array don't overlap, so ascending starts are ascending ends, and there are at
/// most two edges a move in all; they stand in one list.
struct MoveWaits {
    /// Where the edges of each move begin, and after the last move where they end.
    private var first: [UInt32]
    private var edges: [UInt32] = []

    var isEmpty: Bool { edges.isEmpty }
    var count: Int { first.count - 1 }

    func blockers(of move: Int) -> ArraySlice<UInt32> {
        edges[Int(first[move])..<Int(first[move + 1])]
    }

    init(_ moves: [MemslotPair]) {
        first = [0]
        first.reserveCapacity(moves.count + 1)
        let befores = moves.map(\.before)
        let order = AscendingOrder.byAddress(befores)
        let ends = order.map { Bound(befores[Int($0)], at: befores[Int($0)].guestPhysicalEnd) }
        var position = 0
        for (move, pair) in moves.enumerated() {
            let start = Bound(pair.after, at: pair.after.guestPhysicalAddress)
            // Most targets ascend with the ids: the place is where the last one was, or near.
            if position > 0, ends[position - 1] > start {
                position = ends[..<position].partitioningIndex { $0 > start }
            } else if position < ends.count, !(ends[position] > start) {
                position += 1
                if position < ends.count, !(ends[position] > start) {
                    position = ends[position...].partitioningIndex { $0 > start }
                }
            }
            var met = position
            while met < order.count, befores[Int(order[met])].overlaps(pair.after) {
                if order[met] != move { edges.append(order[met]) }
                met += 1
            }
            first.append(UInt32(edges.count))
        }
    }

    private struct Bound {
        let space: UInt32
        let address: UInt64

        init(_ slot: Memslot, at address: GuestPhysicalAddress) {
            space = slot.addressSpace.rawValue
            self.address = address.rawValue
        }

        static func > (left: Bound, right: Bound) -> Bool {
            left.space == right.space ? left.address > right.address : left.space > right.space
        }
    }

    /// The same edges the other way round: for each move, those that wait for it.
    init(reversing waits: MoveWaits) {
        first = [UInt32](repeating: 0, count: waits.count + 1)
        for edge in waits.edges { first[Int(edge) + 1] += 1 }
        for move in 0..<waits.count { first[move + 1] += first[move] }
        edges = [UInt32](repeating: 0, count: waits.edges.count)
        var places = first
        for move in 0..<waits.count {
            for blocker in waits.blockers(of: move) {
                edges[Int(places[Int(blocker)])] = UInt32(move)
                places[Int(blocker)] += 1
            }
        }
    }
}

/// The moves that wait for each other in cycles, and those between two cycles.
///
/// Nearly all cycles are rings that nothing else touches: two slots that change places, or slots
/// of one size put into another order. They are cut here, in one walk; 32,764 slots in one ring
/// took 95 ms by the general way, which is for what is left.
struct MoveCycles {
    private let waits: MoveWaits
    /// How many edges a move has to and from others that are left; none once it is gone.
    private var outDegree: [UInt32]
    private var inDegree: [UInt32]
    private var isLeft: [Bool]

    /// The moves that are left when `ordered` are gone, and then all for which no move waits.
    init(_ waits: MoveWaits, _ waiters: MoveWaits, without ordered: [Int]) {
        self.waits = waits
        isLeft = [Bool](repeating: true, count: waits.count)
        for move in ordered { isLeft[move] = false }
        outDegree = [UInt32](repeating: 0, count: waits.count)
        inDegree = outDegree
        for move in 0..<waits.count where isLeft[move] {
            for blocker in waits.blockers(of: move) where isLeft[Int(blocker)] {
                outDegree[move] += 1
                inDegree[Int(blocker)] += 1
            }
        }
        var pending = (0..<waits.count).filter { isLeft[$0] && inDegree[$0] == 0 }
        while let move = pending.popLast() {
            isLeft[move] = false
            for blocker in waits.blockers(of: move) where isLeft[Int(blocker)] {
                inDegree[Int(blocker)] -= 1
                if inDegree[Int(blocker)] == 0 { pending.append(Int(blocker)) }
            }
        }
    }

    /// Removes the rings that nothing else touches.
    ///
    /// - Returns: the move of each at which it is broken.
    mutating func removeRings() -> [Int] {
        var isSeen = [Bool](repeating: false, count: waits.count)
        var cuts: [Int] = []
        for start in 0..<waits.count where isLeft[start] && !isSeen[start] {
            var ring: [Int] = []
            var move = start
            while !isSeen[move], inDegree[move] == 1, outDegree[move] == 1 {
                isSeen[move] = true
                ring.append(move)
                guard let next = waits.blockers(of: move).first(where: { isLeft[Int($0)] }) else {
                    break
                }
                move = Int(next)
            }
            // A walk that ended elsewhere has found a path into something larger.
            guard move == start, !ring.isEmpty else { continue }
            for move in ring { isLeft[move] = false }
            cuts.append(Self.cut(ring))
        }
        return cuts
    }

    /// The move that the general algorithm would choose: starting at the largest number, remove the
    /// larger neighbour until one is left.
    private static func cut(_ ring: [Int]) -> Int {
        guard let largest = ring.indices.max(by: { ring[$0] < ring[$1] }) else { return 0 }
        var (low, high) = (largest - 1, largest + 1)
        func member(_ index: Int) -> Int { ring[(index + ring.count) % ring.count] }
        while high - low < ring.count {
            if member(low) > member(high) { low -= 1 } else { high += 1 }
        }
        return member(low)
    }

    /// What is left, as a graph.
    var rest: DirectedGraph {
        DirectedGraph((0..<waits.count).filter { isLeft[$0] }) { move in
            waits.blockers(of: move).lazy.map { Int($0) }.filter { isLeft[$0] }
        }
    }
}
