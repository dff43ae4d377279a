import CYardsticks
import MemslotSimulator
import Memslots

/// Translating guest addresses.
enum LookupBenchmarks {
    static let steps =
        AddressPattern.allCases.flatMap { pattern in
            AddressOrdering.allCases.map { step(pattern, $0) }
        } + [ScatterBenchmarks.step, EnteringBenchmarks.step, indexing]

    private static func step(
        _ pattern: AddressPattern, _ order: AddressOrdering
    ) -> BenchmarkStep {
        BenchmarkStep("\(pattern.rawValue) addresses, \(order.rawValue)") {
            effort throws(BenchmarkError) in
            var rows: [BenchmarkRow] = []
            let sizes = effort(BenchmarkArray.sizes, quick: [64, 4_096])
            for size in sizes { rows += try measure(pattern, order, size, effort) }
            return rows
        }
    }

    private static func measure(
        _ pattern: AddressPattern, _ order: AddressOrdering, _ size: Int, _ effort: Effort
    ) throws(BenchmarkError) -> [BenchmarkRow] {
        let slots = BenchmarkArray.slots(size)
        let addresses = pattern.addresses(effort(1 << 15, quick: 1 << 12), in: slots)
        let table = try opened(slots)
        let yardsticks = try YardstickTable(slots)
        var contestants: [Contestant] = []
        for (name, search) in YardstickTable.searches {
            contestants.append(
                Contestant(name, operations: addresses.count) { () throws(BenchmarkError) in
                    let sum = yardsticks.sum(search, addresses, order)
                    try compare(sum, addresses, yardsticks, name)
                })
        }
        for lookup in ProjectLookup.all {
            let part = addresses.prefix(lookup.most)
            let some = Array(part)
            contestants.append(
                Contestant(lookup.name, operations: part.count) { () throws(BenchmarkError) in
                    // Without bounds checks, as in C.
                    let sum = part.withUnsafeBufferPointer { lookup.sum(table, $0, order) }
                    try compare(sum, some, yardsticks, lookup.name)
                })
        }
        let contest = try Contest(rounds: effort(31, quick: 3), contestants)
        return rows(of: contest, pattern, order, size)
    }

    private static func rows(
        of contest: Contest, _ pattern: AddressPattern, _ order: AddressOrdering, _ size: Int
    ) -> [BenchmarkRow] {
        func title(_ name: String) -> String {
            "\(name), \(pattern.rawValue), \(order.rawValue)"
        }
        var rows = ProjectLookup.all.dropLast().map {
            contest.row($0.name, as: title($0.name), slots: size, against: YardstickTable.vmMemory)
        }
        if let best = ProjectLookup.all.last {
            let faster = pattern == .random ? 3.0 : 8.0
            // The target was set for addresses that are known beforehand.
            let isTargeted = order == .known && 64...4_096 ~= size
            let target: BenchmarkTarget? = isTargeted ? .ratioAtMost(1 / faster) : nil
            let standIn = contest.row(
                best.name, as: title(best.name), slots: size, against: YardstickTable.vmMemory,
                target: target)
            if order == .known, let quoted = QuotedFigures.vmMemory(pattern, slots: size) {
                rows.append(
                    standIn.quoted(quoted, of: QuotedFigures.vmMemory, target: target))
            }
            rows += [
                standIn,
                contest.row(
                    best.name, as: title(best.name), slots: size,
                    against: YardstickTable.lastHit, target: .ratioAtMost(1.5)),
            ]
        }
        return rows
            + YardstickTable.searches.map {
                contest.row($0.name, as: title($0.name), slots: size)
            }
    }

    /// Compares a sum with the yardsticks' one, which is computed once: the time is negligible.
    private static func compare(
        _ sum: UInt64, _ addresses: [UInt64], _ yardsticks: YardstickTable, _ name: String
    ) throws(BenchmarkError) {
        guard sum == yardsticks.expected(addresses) else {
            throw .broken("\(name) translates otherwise than the yardsticks")
        }
    }

    static func opened(_ slots: [Memslot]) throws(BenchmarkError) -> MemslotTable {
        var capabilities = Capabilities()
        capabilities.maxSlots = max(capabilities.maxSlots, UInt32(slots.count))
        do throws(InvalidArray) {
            return try MemslotTable(
                backend: SimulatedBackend(capabilities: capabilities), installed: slots)
        } catch {
            throw .broken("the benchmark's own array is refused: \(error.violations.prefix(1))")
        }
    }

    private static let indexing = BenchmarkStep("building the index") {
        effort throws(BenchmarkError) in
        var rows: [BenchmarkRow] = []
        for size in effort(BenchmarkArray.sizes, quick: [4_096]) {
            let slots = BenchmarkArray.slots(size)
            let contest = try Contest(
                rounds: effort(15, quick: 3),
                [
                    Contestant("a table opened on its slots", operations: 1) {
                        () throws(BenchmarkError) in _ = try opened(slots)
                    }
                ])
            rows.append(contest.row("a table opened on its slots", slots: size))
        }
        return rows
    }
}

/// Figures that others measured, on a machine of the same kind, of software that is not built here.
enum QuotedFigures {
    static let vmMemory = "vm-memory 0.18, quoted"

    /// Nanoseconds of one `get_host_address` of vm-memory 0.18, without the load of the table.
    static func vmMemory(_ pattern: AddressPattern, slots: Int) -> Double? {
        switch pattern {
        case .random: [8: 8, 64: 14, 512: 34, 4_096: 64, 32_764: 625][slots]
        case .inRow: [8: 8, 64: 14, 512: 31, 4_096: 42, 32_764: 70][slots]
        case .repeated: nil
        }
    }
}

extension BenchmarkRow {
    /// The row compared with a figure that was not measured in this run.
    func quoted(_ figure: Double, of other: String, target: BenchmarkTarget?) -> BenchmarkRow {
        var row = self
        row.yardstick = other
        row.yardstickMeasured = Spread([figure])
        row.ratio = measured.median / figure
        row.target = target
        return row
    }
}
