internal import MemslotProtocol

extension IncomingMessage {
    /// The VMs that the line names, each once.
    ///
    /// What names none, such as `vm.list`, waits for nothing.
    var laneNames: [String] {
        switch self {
        case .single(let request): return request.vmName.map { [$0] } ?? []
        case .batch(let requests):
            var seen: Set<String> = []
            return requests.compactMap(\.vmName).filter { seen.insert($0).inserted }
        }
    }

    /// Whether some request of the line has this method.
    func contains(_ method: Method) -> Bool { count(method) > 0 }

    /// How many requests of the line have this method.
    func count(_ method: Method) -> Int {
        switch self {
        case .single(let request): request.method == method ? 1 : 0
        case .batch(let requests): requests.count { $0.method == method }
        }
    }
}

extension IncomingRequest {
    /// The VM that it names.
    fileprivate var vmName: String? {
        guard case .request(let request) = self else { return nil }
        return request.vmName
    }

    fileprivate var method: Method? {
        guard case .request(let request) = self else { return nil }
        return request.method
    }
}
