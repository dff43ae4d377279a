internal import MemslotProtocol

/// The order in which a connection's requests may begin.
///
/// A request begins when it is the first in the lane of each VM that it names. So requests that
/// name the same VM keep their order, and others don't wait. A plain value that knows no thread.
struct RequestLanes {
    /// A request, numbered in the order in which they came.
    typealias Number = UInt64

    private var lanes: [Name: [Number]] = [:]
    private var waiting: [Number: Waiting] = [:]

    private struct Waiting {
        let names: [Name]
        /// In how many lanes another one is first.
        var blockers: Int
    }

    /// How many requests are enqueued and not finished.
    var count: Int { waiting.count }

    /// Whether a request that names these VMs would wait for another one.
    func waits(_ names: [Name]) -> Bool { names.contains { lanes[$0]?.isEmpty == false } }

    /// Enqueues the request that came last, with the VMs that it names. Returns whether it may begin.
    mutating func enqueue(_ number: Number, names: [Name]) -> Bool {
        var blockers = 0
        for name in names {
            if !lanes[name, default: []].isEmpty { blockers += 1 }
            lanes[name, default: []].append(number)
        }
        waiting[number] = Waiting(names: names, blockers: blockers)
        return blockers == 0
    }

    /// Removes a request that had begun. Returns those that may begin now, in their order.
    mutating func finish(_ number: Number) -> [Number] {
        guard let finished = waiting.removeValue(forKey: number) else { return [] }
        var ready: [Number] = []
        for name in finished.names {
            lanes[name]?.removeFirst()
            guard let first = lanes[name]?.first else {
                lanes[name] = nil
                continue
            }
            waiting[first]?.blockers -= 1
            if waiting[first]?.blockers == 0 { ready.append(first) }
        }
        return ready.sorted()
    }
}

extension DecodedLine {
    /// The VMs that the line names, each once. Without any, as in `vm.list`, it waits for nothing.
    var laneNames: [Name] {
        switch self {
        case .single(let request): return request.vm.map { [Name($0)] } ?? []
        case .batch(let requests):
            var seen: Set<Name> = []
            return requests.compactMap { $0.vm.map { Name($0) } }
                .filter { seen.insert($0).inserted }
        }
    }

    /// The id of a single request; `null` for a batch, and where there is none.
    var singleID: RequestID {
        guard case .single(let request) = self else { return .null }
        return request.id ?? .null
    }

    func count(of method: Method) -> Int {
        switch self {
        case .single(let request): request.method == method ? 1 : 0
        case .batch(let requests): requests.count { $0.method == method }
        }
    }
}
