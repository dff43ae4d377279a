/// A directed graph that shrinks: vertices are removed, or contracted into their neighbours.
///
/// Vertices keep their numbers as it shrinks, so that a choice made deep in a search names a
/// vertex of the graph it began with.
struct DirectedGraph {
    private(set) var successors: [Int: Set<Int>] = [:]
    private(set) var predecessors: [Int: Set<Int>] = [:]

    init(_ adjacency: [[Int]]) { self.init(Array(adjacency.indices)) { adjacency[$0] } }

    /// A graph over `vertices`, each of which leads to `next`, among them too.
    init(_ vertices: [Int], next: (Int) -> [Int]) {
        for vertex in vertices {
            successors[vertex] = Set(next(vertex))
            predecessors[vertex, default: []] = predecessors[vertex] ?? []
            for other in next(vertex) { predecessors[other, default: []].insert(vertex) }
        }
    }

    init(_ graph: DirectedGraph, within vertices: [Int]) {
        let kept = Set(vertices)
        for vertex in vertices {
            successors[vertex] = graph.successors[vertex]?.intersection(kept) ?? []
            predecessors[vertex] = graph.predecessors[vertex]?.intersection(kept) ?? []
        }
    }

    var vertices: [Int] { successors.keys.sorted() }
    var count: Int { successors.count }
    var isEmpty: Bool { successors.isEmpty }
    func contains(_ vertex: Int) -> Bool { successors[vertex] != nil }

    func inDegree(_ vertex: Int) -> Int { predecessors[vertex]?.count ?? 0 }
    func outDegree(_ vertex: Int) -> Int { successors[vertex]?.count ?? 0 }

    /// Removes `vertex` with its edges.
    ///
    /// - Returns: its neighbours, whose degrees have changed.
    @discardableResult
    mutating func remove(_ vertex: Int) -> Set<Int> {
        let before = predecessors.removeValue(forKey: vertex) ?? []
        let after = successors.removeValue(forKey: vertex) ?? []
        for other in before { successors[other]?.remove(vertex) }
        for other in after { predecessors[other]?.remove(vertex) }
        return before.union(after).subtracting([vertex])
    }

    /// Removes `vertex`, and joins each of its predecessors to each of its successors.
    ///
    /// - Returns: its neighbours, whose degrees have changed.
    @discardableResult
    mutating func contract(_ vertex: Int) -> Set<Int> {
        let before = predecessors[vertex] ?? []
        let after = successors[vertex] ?? []
        let touched = remove(vertex)
        for from in before where from != vertex {
            for to in after where to != vertex {
                successors[from]?.insert(to)
                predecessors[to]?.insert(from)
            }
        }
        return touched
    }

    /// Shrinks the graph by what every smallest cut agrees on.
    ///
    /// A vertex without way in or out is on no cycle. One that leads to itself must be cut. One
    /// with a single way in, or out, can be contracted: its neighbour there is at least as good.
    ///
    /// - Parameter seeds: the vertices to check first; others follow when a neighbour changes.
    /// - Returns: the vertices that must be cut, and those left of which something has changed.
    mutating func reduce(from seeds: [Int]) -> (forced: [Int], touched: [Int]) {
        var forced: [Int] = []
        var touched = Set(seeds)
        var pending = seeds
        while let vertex = pending.popLast() {
            guard let after = successors[vertex], let before = predecessors[vertex] else {
                continue
            }
            var changed: Set<Int> = []
            if after.contains(vertex) {
                forced.append(vertex)
                changed = remove(vertex)
            } else if after.isEmpty || before.isEmpty {
                changed = remove(vertex)
            } else if after.count == 1 || before.count == 1 {
                changed = contract(vertex)
            }
            // In order, so that every run of the process comes to the same cut.
            pending += changed.sorted()
            touched.formUnion(changed)
        }
        return (forced, touched.filter { successors[$0] != nil }.sorted())
    }

    /// A number of cycles that share no vertex: no cut can be smaller.
    func disjointCycles() -> Int {
        var rest = self
        var found = 0
        while let cycle = rest.shortCycle() {
            found += 1
            for vertex in cycle { rest.remove(vertex) }
            rest.trim()
        }
        return found
    }

    /// Removes vertices that are on no cycle because nothing leads in, or out.
    private mutating func trim() {
        var pending = vertices
        while let vertex = pending.popLast() {
            guard successors[vertex] != nil else { continue }
            if inDegree(vertex) == 0 || outDegree(vertex) == 0 { pending += remove(vertex) }
        }
    }

    /// A shortest cycle through the vertex with the fewest ways out.
    private func shortCycle() -> [Int]? {
        let byDegree = vertices.sorted { (outDegree($0), $0) < (outDegree($1), $1) }
        for start in byDegree { if let cycle = cycle(through: start) { return cycle } }
        return nil
    }

    private func cycle(through start: Int) -> [Int]? {
        var cameFrom: [Int: Int] = [:]
        var queue = [start]
        var head = 0
        while head < queue.count {
            let vertex = queue[head]
            head += 1
            for next in (successors[vertex] ?? []).sorted() {
                if next == start {
                    var cycle = [vertex]
                    var step = vertex
                    while step != start, let before = cameFrom[step] {
                        cycle.append(before)
                        step = before
                    }
                    return cycle
                }
                if cameFrom[next] == nil {
                    cameFrom[next] = vertex
                    queue.append(next)
                }
            }
        }
        return nil
    }

    /// The strongly connected components that hold a cycle, each ascending, by their smallest vertex.
    ///
    /// Kosaraju's algorithm: backwards from the vertex that a search against the edges left last, no
    /// edge leads out of a component but to those found before.
    func strongComponents() -> [[Int]] {
        var visited: Set<Int> = []
        let order = vertices.flatMap { Self.search(from: $0, along: predecessors, &visited) }
        visited = []
        let components = order.reversed().compactMap { root -> [Int]? in
            let component = Self.search(from: root, along: successors, &visited)
            let hasCycle = component.count > 1 || successors[root]?.contains(root) == true
            return hasCycle && !component.isEmpty ? component.sorted() : nil
        }
        return components.sorted { $0[0] < $1[0] }
    }

    /// The vertices to which `edges` lead from `root`, but for `visited`, in the order in which a
    /// search in depth leaves them. With a stack of its own: a chain of a million moves must not
    /// overflow the thread's.
    private static func search(
        from root: Int, along edges: [Int: Set<Int>], _ visited: inout Set<Int>
    ) -> [Int] {
        var left: [Int] = []
        var stack = [(vertex: root, isLeft: false)]
        while let (vertex, isLeft) = stack.popLast() {
            if isLeft {
                left.append(vertex)
            } else if visited.insert(vertex).inserted {
                stack.append((vertex, true))
                stack += (edges[vertex] ?? []).sorted(by: >).map { ($0, false) }
            }
        }
        return left
    }
}
