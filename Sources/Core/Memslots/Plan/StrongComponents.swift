extension DirectedGraph {
    /// The strongly connected components that hold a circle, each ascending.
    ///
    /// Tarjan's algorithm, with a stack of its own: a chain of a million moves must not overflow
    /// the thread's.
    func strongComponents() -> [[Int]] {
        var search = TarjanSearch(graph: self)
        for vertex in vertices { search.visit(vertex) }
        return search.components
    }
}

private struct TarjanSearch {
    let graph: DirectedGraph
    private(set) var components: [[Int]] = []
    private var numbers: [Int: Int] = [:]
    private var lowest: [Int: Int] = [:]
    private var open: [Int] = []
    private var isOpen: Set<Int> = []

    init(graph: DirectedGraph) { self.graph = graph }

    private struct Frame {
        let vertex: Int
        let next: [Int]
        var position = 0
    }

    mutating func visit(_ root: Int) {
        guard numbers[root] == nil else { return }
        var frames = [enter(root)]
        while var frame = frames.popLast() {
            if frame.position < frame.next.count {
                let next = frame.next[frame.position]
                frame.position += 1
                frames.append(frame)
                if let number = numbers[next] {
                    if isOpen.contains(next) { lower(frame.vertex, to: number) }
                } else {
                    frames.append(enter(next))
                }
            } else {
                leave(frame.vertex)
                if let parent = frames.last, let low = lowest[frame.vertex] {
                    lower(parent.vertex, to: low)
                }
            }
        }
    }

    private mutating func enter(_ vertex: Int) -> Frame {
        numbers[vertex] = numbers.count
        lowest[vertex] = numbers[vertex]
        open.append(vertex)
        isOpen.insert(vertex)
        return Frame(vertex: vertex, next: (graph.successors[vertex] ?? []).sorted())
    }

    private mutating func lower(_ vertex: Int, to number: Int) {
        lowest[vertex] = min(lowest[vertex] ?? number, number)
    }

    private mutating func leave(_ vertex: Int) {
        guard lowest[vertex] == numbers[vertex] else { return }
        var component: [Int] = []
        while let member = open.popLast() {
            isOpen.remove(member)
            component.append(member)
            if member == vertex { break }
        }
        let hasCircle =
            component.count > 1 || graph.successors[vertex]?.contains(vertex) == true
        if hasCircle { components.append(component.sorted()) }
    }
}
