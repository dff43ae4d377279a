import Memslots

/// A hook that records its calls with the generation of a reader at that time, and can veto.
final class RecordingHook: MemslotHook {
    enum Phase { case prepare, commit, finish, abort }

    struct Call: Hashable, Sendable {
        let hook: String
        let phase: Phase
        let change: MemslotChange
        let generation: Generation

        func next(_ phase: Phase, at generation: Generation) -> Call {
            Call(hook: hook, phase: phase, change: change, generation: generation)
        }
    }

    // Sendable: one thread submits at a time, and reads the calls between submits.
    final class Log: @unchecked Sendable {
        private(set) var calls: [Call] = []
        private var prepared = 0
        private var veto: Int?
        /// The table of the reader; `nil` before there is one.
        var table: MemslotTable?

        /// Empties the log; the preparation with number `veto` will be vetoed.
        func begin(veto: Int? = nil) { (calls, prepared, self.veto) = ([], 0, veto) }

        /// - Returns: whether to veto the preparation.
        fileprivate func record(_ hook: String, _ phase: Phase, _ change: MemslotChange) -> Bool {
            let generation = table?.read { $0.generation } ?? Generation(0)
            calls.append(Call(hook: hook, phase: phase, change: change, generation: generation))
            guard phase == .prepare else { return false }
            defer { prepared += 1 }
            return prepared == veto
        }
    }

    let name: String
    var needsQuiescence: Bool { false }
    private let log: Log

    init(_ name: String, _ log: Log) { (self.name, self.log) = (name, log) }

    static let reason = "vetoed by the sweep"

    func prepare(_ change: MemslotChange) throws(HookVeto) {
        if log.record(name, .prepare, change) { throw HookVeto(Self.reason) }
    }

    func commit(_ change: MemslotChange) { _ = log.record(name, .commit, change) }
    func finish(_ change: MemslotChange) { _ = log.record(name, .finish, change) }
    func abort(_ change: MemslotChange) { _ = log.record(name, .abort, change) }
}
