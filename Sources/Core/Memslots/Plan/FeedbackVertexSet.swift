/// The fewest vertices without which a directed graph has no cycle.
///
/// Each strongly connected component is solved by itself: first shrunk by rules that lose nothing,
/// then by a greedy cut, which is proved smallest where as many disjoint cycles are found, and
/// else by branch and bound within ``effort``. The graphs of moving slots are sparse (two edges
/// a vertex at most), so nearly all of them fall to the rules alone.
struct FeedbackVertexSet {
    let vertices: [Int]
    /// Whether it is proved that no smaller one exists.
    let isMinimum: Bool

    /// The number of vertices that the search of one plan may visit: some tenths of a second.
    static let effort = 50_000

    /// Components of more vertices than this, after shrinking, are cut greedily only.
    private static let largestSearched = 1_000

    /// Cuts `graph`.
    ///
    /// - Parameter effort: the number of vertices that the search may visit; it subtracts those it has.
    init(of graph: DirectedGraph, effort: inout Int) {
        var vertices: [Int] = []
        var isMinimum = true
        for component in graph.strongComponents() {
            var part = DirectedGraph(graph, within: component)
            vertices += part.reduce(from: part.vertices).forced
            guard !part.isEmpty else { continue }
            let cut = Self.cut(part, &effort)
            vertices += cut.vertices
            isMinimum = isMinimum && cut.isMinimum
        }
        (self.vertices, self.isMinimum) = (vertices, isMinimum)
    }

    private static func cut(
        _ graph: DirectedGraph, _ effort: inout Int
    ) -> (vertices: [Int], isMinimum: Bool) {
        let greedy = greedyCut(graph)
        guard graph.count <= largestSearched, effort > 0 else { return (greedy, false) }
        effort -= graph.count
        if graph.disjointCycles() == greedy.count { return (greedy, true) }
        var search = CutSearch(effort: effort)
        let better = search.smallestCut(of: graph, below: greedy.count)
        effort = search.effort
        return (better ?? greedy, !search.isExhausted)
    }

    /// Cuts the busiest vertex, again and again, then puts back what turned out to be needless.
    private static func greedyCut(_ graph: DirectedGraph) -> [Int] {
        var rest = graph
        var (cut, _) = rest.reduce(from: rest.vertices)
        var byWays = SmallestFirst<Busy>()
        for vertex in rest.vertices { byWays.insert(Busy(vertex, in: rest)) }
        while let next = byWays.removeSmallest() {
            // An entry stays when its vertex changes or goes; a new one is inserted.
            guard rest.contains(next.vertex), next == Busy(next.vertex, in: rest) else { continue }
            cut.append(next.vertex)
            let neighbours = rest.remove(next.vertex).sorted()
            let (forced, touched) = rest.reduce(from: neighbours)
            cut += forced
            for vertex in touched { byWays.insert(Busy(vertex, in: rest)) }
        }
        var needed = Set(cut)
        for vertex in cut where graph.count <= largestSearched {
            needed.remove(vertex)
            let kept = graph.vertices.filter { !needed.contains($0) }
            if !DirectedGraph(graph, within: kept).strongComponents().isEmpty {
                needed.insert(vertex)
            }
        }
        return needed.sorted()
    }
}

/// A vertex by the number of ways through it, the most first.
private struct Busy: Comparable {
    let ways, vertex: Int

    init(_ vertex: Int, in graph: DirectedGraph) {
        ways = graph.inDegree(vertex) * graph.outDegree(vertex)
        self.vertex = vertex
    }

    static func < (left: Busy, right: Busy) -> Bool {
        left.ways != right.ways ? left.ways > right.ways : left.vertex < right.vertex
    }
}

/// Branch and bound: a vertex is cut, or kept for good.
private struct CutSearch {
    private(set) var effort: Int
    var isExhausted: Bool { effort < 0 }

    init(effort: Int) { self.effort = effort }

    /// A smallest cut of fewer than `limit` vertices, or `nil` where there is none.
    mutating func smallestCut(of graph: DirectedGraph, below limit: Int) -> [Int]? {
        var rest = graph
        var (cut, _) = rest.reduce(from: rest.vertices)
        for component in rest.strongComponents() {
            guard cut.count < limit else { return nil }
            let part = DirectedGraph(rest, within: component)
            guard let more = branch(part, below: limit - cut.count) else { return nil }
            cut += more
        }
        return cut.count < limit ? cut : nil
    }

    private mutating func branch(_ graph: DirectedGraph, below limit: Int) -> [Int]? {
        effort -= graph.count
        guard !isExhausted, limit > 0, let vertex = graph.busiest() else { return nil }
        guard graph.disjointCycles() < limit else { return nil }

        var best: [Int]?
        var limit = limit
        var without = graph
        without.remove(vertex)
        if let cut = smallestCut(of: without, below: limit - 1) {
            best = cut + [vertex]
            limit = cut.count + 1
        }
        var kept = graph
        kept.contract(vertex)
        return smallestCut(of: kept, below: limit) ?? best
    }
}

extension DirectedGraph {
    /// The vertex with the most ways through it, the first of equals.
    fileprivate func busiest() -> Int? { vertices.lazy.map { Busy($0, in: self) }.min()?.vertex }
}

/// A binary heap.
struct SmallestFirst<Item: Comparable> {
    private var items: [Item] = []

    mutating func insert(_ item: Item) {
        items.append(item)
        var child = items.count - 1
        while child > 0, items[child] < items[(child - 1) / 2] {
            items.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func removeSmallest() -> Item? {
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
