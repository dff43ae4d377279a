import CYardsticks
import Memslots

/// Two arrays in C, and the passes over them.
final class YardstickDiff {
    private let old: [ys_slot]
    private let new: [ys_slot]
    private let isSorted: Bool
    private var sorted: [ys_slot]
    private var moving: [ys_slot]
    private var scratch: [UInt64]
    private var operations: [UInt64]

    init(from old: [Memslot], to new: [Memslot], isSorted: Bool) {
        self.old = BenchmarkArray.yardstickForm(old)
        self.new = BenchmarkArray.yardstickForm(new)
        self.isSorted = isSorted
        sorted = self.new
        moving = self.new
        scratch = Array(repeating: 0, count: 2 * new.count + (1 << 20) / 64 + 2_048)
        operations = Array(repeating: 0, count: old.count + new.count)
    }

    /// What the comparison must find: a replaced slot is removed and added.
    private(set) var changes = ys_changes()

    /// Validation, sorting where needed, and the merge by id.
    func validateAndMerge() throws(BenchmarkError) {
        try validate()
        if !isSorted { ys_sort_by_id(new, new.count, &sorted, &moving) }
        changes = ys_merge(old, old.count, sorted, sorted.count, &operations)
    }

    /// Validation alone.
    func validate() throws(BenchmarkError) {
        guard ys_validate(new, new.count, &scratch) == 0 else {
            throw .broken("the yardstick finds faults in the benchmark's own array")
        }
    }

    /// The merge by id alone, of sorted arrays.
    func merge() { changes = ys_merge(old, old.count, new, new.count, &operations) }

    /// The shape of QEMU's comparison.
    func flatWalk() { _ = ys_flat_walk(old, old.count, new, new.count, &operations) }

    /// Reads both once.
    func readBoth() { floor ^= ys_read_both(old, old.count, new, new.count) }

    private var floor: UInt64 = 0
}
