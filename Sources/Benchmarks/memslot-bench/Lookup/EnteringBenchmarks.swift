import CYardsticks
import Memslots
import Synchronization

/// A way of the project's into a section in which the array stays.
struct ProjectEntering: Sendable {
    let name: String
    /// How often a thread enters in a round.
    let count: @Sendable (Effort) -> Int
    /// Enters and leaves `count` times, and returns something that depends on the array.
    let enter: @Sendable (_ table: MemslotTable, _ count: Int) -> UInt64

    /// All there are, the fastest last: that one is held against the target.
    static let all = [closure, reader]

    private static let closure = ProjectEntering(
        name: "MemslotTable.read", count: { $0(20_000, quick: 2_000) }
    ) { table, count in
        var sum: UInt64 = 0
        for _ in 0..<count { sum &+= table.read { $0.generation.rawValue } }
        return sum
    }

    private static let reader = ProjectEntering(
        name: "TableReader.read", count: { $0(400_000, quick: 20_000) }
    ) { table, count in
        let reader = table.makeReader(as: "benchmark")
        var sum: UInt64 = 0
        for _ in 0..<count { sum &+= reader.read { $0.generation.rawValue } }
        return sum
    }

    /// Nanoseconds for entering and leaving once, as the slowest of `threads` threads sees it.
    func measure(
        _ table: MemslotTable, threads: Int, _ effort: Effort
    ) throws(BenchmarkError) -> Double {
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
