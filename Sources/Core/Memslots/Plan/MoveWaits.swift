/// For each move, the moves whose slots must have left before its target is free.
///
/// The slots of one array don't overlap, so ascending starts are ascending ends, and there are at
/// most two edges a move in all; they stand in one list.
struct MoveWaits {
    /// Where the edges of each move begin, and after the last move where they end.
    private var first: [UInt32]
    private var edges: [UInt32] = []

    /// Whether no move waits for another.
    var isEmpty: Bool { edges.isEmpty }
    /// How many moves there are.
    var count: Int { first.count - 1 }

    /// The moves that `move` waits for.
    func blockers(of move: Int) -> ArraySlice<UInt32> {
        edges[Int(first[move])..<Int(first[move + 1])]
    }

    /// Finds what `moves` wait for.
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
            left.space == right.space
                ? left.address > right.address : left.space > right.space
        }
    }

    /// The same edges the other way round: for each move, those that wait for it.
    var reversed: MoveWaits { MoveWaits(reversing: self) }

    private init(reversing waits: MoveWaits) {
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
