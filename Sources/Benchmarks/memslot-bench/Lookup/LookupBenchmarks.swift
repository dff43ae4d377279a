import CYardsticks
import MemslotSimulator
import Memslots

enum LookupBenchmarks {
    static let steps =
        [VMMemory.step]
        + AddressPattern.allCases.flatMap { pattern in
            AddressOrdering.allCases.map { step(pattern, $0) }
        } + [ScatterBenchmarks.step, EnteringBenchmarks.step]

    private static func step(
        _ pattern: AddressPattern, _ order: AddressOrdering
    ) -> BenchmarkStep {
        BenchmarkStep(name: "\(pattern.rawValue) addresses, \(order.rawValue)") { effort in
            try effort(BenchmarkArray.sizes, quick: [64, 4_096])
                .flatMap { try measure(pattern, order, $0, effort) }
        }
    }

    private static func measure(
        _ pattern: AddressPattern, _ order: AddressOrdering, _ size: Int, _ effort: Effort
    ) throws -> [BenchmarkRow] {
        let slots = BenchmarkArray.slots(size)
        let addresses = pattern.addresses(effort(1 << 15, quick: 1 << 12), in: slots)
        let table = try opened(slots)
        let yardsticks = try YardstickTable(slots)
        var searches = YardstickTable.searches.map { name, search in
            Contestant(name, operations: addresses.count) {
                let sum = yardsticks.sum(search, addresses, order)
                try compare(sum, addresses, yardsticks, name)
            }
        }
        if case .success(let library) = VMMemory.library {
            let memory = try VMMemory.Table(slots, library)
            searches.append(
                Contestant(VMMemory.name, operations: addresses.count) {
                    try compare(memory.sum(addresses, order), addresses, yardsticks, VMMemory.name)
                })
        }
        let lookups = ProjectLookup.all.map { lookup in
            let part = Array(addresses.prefix(lookup.most))
            return Contestant(lookup.name, operations: part.count) {
                // Without bounds checks, as in C.
                let sum = part.withUnsafeBufferPointer { lookup.sum(table, $0, order) }
                try compare(sum, part, yardsticks, lookup.name)
            }
        }
        let contest = try Contest(rounds: effort(31, quick: 3), searches + lookups)
        return rows(of: contest, searches.map(\.name), pattern, order, size)
    }

    private static func rows(
        of contest: Contest, _ searches: [String], _ pattern: AddressPattern,
        _ order: AddressOrdering, _ size: Int
    ) -> [BenchmarkRow] {
        func title(_ name: String) -> String {
            "\(name), \(pattern.rawValue), \(order.rawValue)"
        }
        let faster = pattern == .random ? 3.0 : 8.0
        // The target was set for addresses that are known beforehand.
        let isTargeted = order == .known && 64...4_096 ~= size
        let fastest = ProjectLookup.fastest.name
        let isReal = searches.contains(VMMemory.name)
        let vmMemory = isReal ? VMMemory.name : YardstickTable.vmMemory
        return ProjectLookup.all.map {
            contest.row(
                $0.name, as: title($0.name), slots: size, against: vmMemory,
                target: isTargeted && $0.name == fastest ? .ratioAtMost(1 / faster) : nil)
        } + [
            contest.row(
                fastest, as: title(fastest), slots: size, against: YardstickTable.lastHit,
                target: .ratioAtMost(1.5))
        ] + searches.map { contest.row($0, as: title($0), slots: size) }
    }

    /// Compares a sum with the yardsticks' one, which is computed once: the time is negligible.
    private static func compare(
        _ sum: UInt64, _ addresses: [UInt64], _ yardsticks: YardstickTable, _ name: String
    ) throws {
        try require(
            sum == yardsticks.expected(addresses),
            "\(name) translates otherwise than the yardsticks")
    }

    static func opened(_ slots: [Memslot]) throws -> MemslotTable {
        var capabilities = Capabilities()
        capabilities.maxSlots = max(capabilities.maxSlots, UInt32(slots.count))
        return try MemslotTable(
            backend: SimulatedBackend(capabilities: capabilities), installed: slots)
    }
}
