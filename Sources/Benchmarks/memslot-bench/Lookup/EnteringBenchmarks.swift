import CYardsticks
import Memslots
import Synchronization

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
    func measure(
        _ table: MemslotTable, threads: Int, _ effort: Effort
    ) throws -> Double {
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
