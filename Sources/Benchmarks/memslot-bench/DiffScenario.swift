import MemslotTestKit
import Memslots

/// How the submitted array differs from the present one.
enum DiffScenario: String, CaseIterable {
    case identical
    case one = "1 changed"
    case percent = "1 % changed"
    case all = "all changed"
    /// As ``percent``, in no order at all.
    case unsorted = "1 % changed, unsorted"

    /// The array to submit over `slots`.
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
