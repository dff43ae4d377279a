import CYardsticks
import Memslots

/// From a submitted array to its plan.
enum DiffBenchmarks {
    static let steps = DiffScenario.allCases.map(step)

    private static let project = "MemslotTable.plan (validate, diff, plan)"
    private static let yardstick = "C validation and merge"
    private static let million = 1_000_000

    private static func step(_ scenario: DiffScenario) -> BenchmarkStep {
        BenchmarkStep(scenario.rawValue) { effort throws(BenchmarkError) in
            var rows: [BenchmarkRow] = []
            let sizes = effort(BenchmarkArray.sizes + [million], quick: [512, 32_764])
            for size in sizes { rows += try measure(scenario, size, effort) }
            return rows
        }
    }

    private static func measure(
        _ scenario: DiffScenario, _ size: Int, _ effort: Effort
    ) throws(BenchmarkError) -> [BenchmarkRow] {
        let slots = BenchmarkArray.slots(size)
        let wanted = scenario.array(slots)
        let table = try LookupBenchmarks.opened(slots)
        let c = YardstickDiff(from: slots, to: wanted, isSorted: scenario != .unsorted)
        // A round of the smallest takes long enough for the clock.
        let repeats = max(1, effort(8_192, quick: 512) / max(size, 1))
        func times(_ name: String, _ body: @escaping () throws(BenchmarkError) -> Void)
            -> Contestant
        {
            Contestant(name, operations: repeats) { () throws(BenchmarkError) in
                for _ in 0..<repeats { try body() }
            }
        }
        var contestants = [
            times(project) { () throws(BenchmarkError) in try plan(wanted, on: table, c.changes) },
            times(yardstick) { () throws(BenchmarkError) in try c.validateAndMerge() },
        ]
        if scenario == .percent {
            contestants += [
                times("C: reading both arrays once") { c.readBoth() },
                times("C: merge alone") { c.merge() },
                times("C: validation alone") { () throws(BenchmarkError) in try c.validate() },
                times("C: two-pass walk, QEMU's shape") { c.flatWalk() },
            ]
        }
        try c.validateAndMerge()
        let rounds = size == million ? 7 : effort(31, quick: 3)
        let contest = try Contest(rounds: rounds, contestants)
        let title = "validate, diff, plan: \(scenario.rawValue)"
        return [
            contest.row(
                project, as: title, slots: size, against: yardstick,
                target: target(scenario, size))
        ] + contestants.dropFirst(2).map { contest.row($0.name, slots: size) }
    }

    private static func target(_ scenario: DiffScenario, _ size: Int) -> BenchmarkTarget? {
        switch (scenario, size) {
        case (.percent, 32_764): .ratioAtMost(2)
        case (.percent, 512): .atMost(10_000)
        default: nil
        }
    }

    /// Plans, and compares what was found with what the yardstick found.
    private static func plan(
        _ slots: [Memslot], on table: MemslotTable, _ expected: ys_changes
    ) throws(BenchmarkError) {
        let diff: MemslotDiff
        do throws(SubmitError) { diff = try table.plan(slots).diff } catch {
            throw .broken("the benchmark's own array is refused: \(error)")
        }
        guard UInt64(diff.added.count) == expected.added + expected.replaced,
            UInt64(diff.removed.count) == expected.removed + expected.replaced,
            UInt64(diff.moved.count) == expected.moved,
            UInt64(diff.reflagged.count) == expected.reflagged
        else { throw .broken("the project and the yardstick find different changes") }
    }
}
