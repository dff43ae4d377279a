/// The moves that wait for each other in circles, and those between two circles.
///
/// Nearly all circles are rings that nothing else touches: two slots that change places, or slots
/// of one size put into another order. They are cut here, in one walk; 32,764 slots in one ring
/// took 95 ms by the general way, which is for what is left.
struct MoveCircles {
    private let waits: MoveWaits
    /// How many edges a move has to and from others that are left; none once it is gone.
    private var outDegree: [UInt32]
    private var inDegree: [UInt32]
    private var isLeft: [Bool]

    /// The moves that are left when `ordered` are gone, and then all for which nobody waits.
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

    /// Takes the rings out that nothing else touches.
    ///
    /// - Returns: the move of each at which it is broken.
    mutating func takeRings() -> [Int] {
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

    /// The same move that the general way comes to: beginning at the largest number the larger
    /// neighbour is taken off, until one is left.
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
