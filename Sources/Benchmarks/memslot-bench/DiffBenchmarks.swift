import CYardsticks
import MemslotTestKit
import Memslots

/// From a submitted array to its plan.
enum DiffBenchmarks {
    static let steps = DiffScenario.allCases.map { scenario in
        BenchmarkStep(name: scenario.rawValue) { effort in
            try effort(BenchmarkArray.sizes + [million], quick: [512, 32_764])
                .map { try measure(scenario, $0, effort) }
        }
    }

    private static let project = "MemslotTable.plan (validate, diff, plan)"
    private static let yardstick = "C validation and merge"
    private static let million = 1_000_000

    private static func measure(
        _ scenario: DiffScenario, _ size: Int, _ effort: Effort
    ) throws -> BenchmarkRow {
        let slots = BenchmarkArray.slots(size)
        let wanted = scenario.array(slots)
        let table = try LookupBenchmarks.opened(slots)
        let c = YardstickDiff(from: slots, to: wanted, isSorted: scenario != .unsorted)
        // Makes a round of the smallest array long enough for the clock.
        let repeats = max(1, effort(8_192, quick: 512) / max(size, 1))
        func times(_ name: String, _ body: @escaping () throws -> Void) -> Contestant {
            Contestant(name, operations: repeats) { for _ in 0..<repeats { try body() } }
        }
        try c.validateAndMerge()
        let rounds = size == million ? 5 : effort(25, quick: 3)
        let contest = try Contest(
            rounds: rounds, times(project) { try plan(wanted, on: table, c) },
            times(yardstick) { try c.validateAndMerge() })
        let title = "validate, diff, plan: \(scenario.rawValue)"
        return contest.row(
            project, as: title, slots: size, against: yardstick, target: target(scenario, size))
    }

    private static func target(_ scenario: DiffScenario, _ size: Int) -> BenchmarkTarget? {
        switch (scenario, size) {
        case (.percent, 32_764): .ratioAtMost(2)
        case (.percent, 512): .atMost(10_000)
        default: nil
        }
    }

    /// Plans, and compares the changes with those that the yardstick found.
    private static func plan(
        _ slots: [Memslot], on table: MemslotTable, _ c: YardstickDiff
    ) throws {
        let diff = try table.plan(slots).diff
        try require(
            diff.added.count == c.count(YS_ADDED) + c.count(YS_REPLACED)
                && diff.removed.count == c.count(YS_REMOVED) + c.count(YS_REPLACED)
                && diff.moved.count == c.count(YS_MOVED)
                && diff.reflagged.count == c.count(YS_REFLAGGED),
            "the project and the yardstick find different changes")
    }
}

enum DiffScenario: String, CaseIterable {
    case identical
    case one = "1 changed"
    case percent = "1 % changed"
    case all = "all changed"
    /// As ``percent``, in random order.
    case unsorted = "1 % changed, unsorted"

    func array(_ slots: [Memslot]) -> [Memslot] {
        switch self {
        case .identical: return slots
        case .one: return BenchmarkArray.changed(slots, 1)
        case .percent: return BenchmarkArray.changed(slots, max(slots.count / 100, 1))
        case .all: return BenchmarkArray.changed(slots, slots.count)
        case .unsorted:
            var random = SeededRandom(seed: 3)
            return DiffScenario.percent.array(slots).shuffled(using: &random)
        }
    }
}

/// Two arrays in C, and the passes over them.
final class YardstickDiff {
    private let old, new: [ys_slot]
    private let isSorted: Bool
    private var sorted: [ys_slot]
    private var scratch, operations, changes: [UInt64]

    init(from old: [Memslot], to new: [Memslot], isSorted: Bool) {
        self.old = old.map(ys_slot.init)
        self.new = new.map(ys_slot.init)
        self.isSorted = isSorted
        sorted = self.new
        scratch = Array(repeating: 0, count: 2 * new.count + (1 << 20) / 64 + 2_048)
        operations = Array(repeating: 0, count: old.count + new.count)
        changes = Array(repeating: 0, count: Int(YS_KINDS.rawValue))
    }

    /// The changes that the merge found; the project counts a replaced slot as removed and added.
    func count(_ kind: ys_change) -> Int { Int(changes[Int(kind.rawValue)]) }

    /// Validates, sorts if needed, and merges by id.
    func validateAndMerge() throws {
        try require(
            ys_validate(new, new.count, &scratch) == 0,
            "the yardstick finds faults in the benchmark's own array")
        if !isSorted { ys_sort_by_id(new, new.count, &sorted, &scratch) }
        ys_merge(old, old.count, sorted, sorted.count, &operations, &changes)
    }
}
