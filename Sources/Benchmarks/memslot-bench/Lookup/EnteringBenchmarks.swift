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
        let fenced = "C: an epoch with a fence"
        let plain = "C: an epoch, plain"
        let yardsticks = [fenced, plain].map { name in
            Contestant(name) {
                let span = ys_enter_and_leave(
                    name == plain ? 1 : 0, Int32(threads), effort(200_000, quick: 20_000))
                try require(span > 0, "no thread can be made")
                return span
            }
        }
        let project = ProjectEntering.all.map { entering in
            Contestant(entering.name) { try entering.measure(table, threads: threads, effort) }
        }
        let contest = try Contest(rounds: effort(21, quick: 3), yardsticks + project)
        let suffix = threads == 1 ? "one thread" : "\(threads) threads"
        return ProjectEntering.all.map {
            contest.row(
                $0.name, as: "entering: \($0.name), \(suffix)", against: fenced,
                target: $0.name == ProjectEntering.all.last?.name ? .atMost(8) : nil)
        } + [fenced, plain].map { contest.row($0, as: "entering, \($0), \(suffix)") }
    }
}

/// One of the project's ways to enter a section in which the array stays mapped.
struct ProjectEntering: Sendable {
    let name: String
    /// How many times a thread enters in a round.
    let count: @Sendable (Effort) -> Int
    /// Enters and leaves `count` times, and returns a sum that depends on the array.
    let enter: @Sendable (_ table: MemslotTable, _ count: Int) -> UInt64

    /// All ways; the last is the fastest and is compared with the target.
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
