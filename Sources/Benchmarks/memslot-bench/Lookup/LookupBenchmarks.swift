import CYardsticks
import MemslotSimulator
import Memslots
import Synchronization

enum LookupBenchmarks {
    static let steps =
        [VMMemory.step]
        + AddressPattern.allCases.flatMap { pattern in
            AddressOrdering.allCases.map { order in
                BenchmarkStep(name: "\(pattern.rawValue) addresses, \(order.rawValue)") { effort in
                    try effort(BenchmarkArray.sizes, quick: [64, 4_096])
                        .flatMap { try measure(pattern, order, $0, effort) }
                }
            }
        } + [ScatterBenchmarks.step, EnteringBenchmarks.step]

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
        let contest = try Contest(rounds: effort(21, quick: 3), searches + lookups)
        return rows(of: contest, searches.map(\.name), pattern, order, size)
    }

    private static func rows(
        of contest: Contest, _ searches: [String], _ pattern: AddressPattern,
        _ order: AddressOrdering, _ size: Int
    ) -> [BenchmarkRow] {
        func title(_ name: String) -> String { "\(name), \(pattern.rawValue), \(order.rawValue)" }
        let faster = pattern == .random ? 3.0 : 8.0
        let fastest = ProjectLookup.fastest.name
        // Where it can't be built, it is skipped by name and nothing is compared with it.
        let vmMemory = searches.contains(VMMemory.name) ? VMMemory.name : nil
        // The target was set for addresses that are known beforehand.
        let isTargeted = vmMemory != nil && order == .known && 64...4_096 ~= size
        return ProjectLookup.all.map {
            contest.row(
                $0.name, as: title($0.name), slots: size, against: vmMemory,
                target: isTargeted && $0.name == fastest ? .ratioAtMost(1 / faster) : nil)
        } + [
            contest.row(
                fastest, as: title(fastest), slots: size, against: YardstickTable.lastHit,
                target: .ratioAtMost(1.5)),
            contest.row(
                fastest, as: title(fastest), slots: size, against: YardstickTable.radix,
                target: order == .chained && pattern == .random && size == 512
                    ? .ratioAtMost(1.5) : nil),
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

/// Entering and leaving a section in which the array stays mapped.
enum EnteringBenchmarks {
    static let step = BenchmarkStep(name: "entering a read section") { effort in
        let table = try LookupBenchmarks.opened(BenchmarkArray.slots(64))
        return try [1, 2].flatMap { try enter(table, $0, effort) }
    }

    private static func enter(
        _ table: MemslotTable, _ threads: Int, _ effort: Effort
    ) throws -> [BenchmarkRow] {
        let ways = [WayToEnter.yardstick, .closure, .reader]
        let contest = try Contest(
            rounds: effort(21, quick: 3),
            ways.map { way in
                Contestant(way.name) { try way.measure(table, threads: threads, effort) }
            })
        let suffix = threads == 1 ? "one thread" : "\(threads) threads"
        func row(_ way: WayToEnter, _ target: BenchmarkTarget?) -> BenchmarkRow {
            contest.row(
                way.name, as: "entering: \(way.name), \(suffix)",
                against: WayToEnter.yardstick.name, target: target)
        }
        return [row(.closure, nil), row(.reader, .atMost(8))]
    }
}

/// A way to enter a section in which the array stays mapped.
struct WayToEnter: Sendable {
    let name: String
    /// How many times a thread enters in a round.
    let count: @Sendable (Effort) -> Int
    /// Enters and leaves `count` times, and returns a sum that depends on the array.
    let enter: @Sendable (_ table: MemslotTable, _ count: Int) -> UInt64

    static let yardstick = WayToEnter(
        name: "C: an epoch with a fence", count: { $0(200_000, quick: 20_000) }
    ) { _, count in ys_enter_and_leave(count) }

    static let closure = WayToEnter(
        name: "MemslotTable.read", count: { $0(20_000, quick: 2_000) }
    ) { table, count in
        var sum: UInt64 = 0
        for _ in 0..<count { sum &+= table.read { $0.generation.rawValue } }
        return sum
    }

    static let reader = WayToEnter(
        name: "TableReader.read", count: { $0(400_000, quick: 20_000) }
    ) { table, count in
        let reader = table.makeReader(as: "benchmark")
        var sum: UInt64 = 0
        for _ in 0..<count { sum &+= reader.read { $0.generation.rawValue } }
        return sum
    }

    /// Nanoseconds to enter and leave once, by the slowest of `threads` threads.
    func measure(_ table: MemslotTable, threads: Int, _ effort: Effort) throws -> Double {
        let longest = Atomic<UInt64>(0)
        let count = count(effort)
        let enter = enter
        try Workers.run(threads) { _ in
            let start = ys_now()
            let sum = enter(table, count)
            let span = ys_now() - start + (sum == .max ? 1 : 0)
            _ = longest.max(span, ordering: .sequentiallyConsistent)
        }
        return Double(longest.load(ordering: .sequentiallyConsistent)) / Double(count)
    }
}
