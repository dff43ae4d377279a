internal import Dispatch

/// The active and the inactive array, as KVM itself keeps two sets of slots.
///
/// Readers are `sync` blocks of a concurrent queue; the swap is a `sync` barrier, so that a reader
/// sees the old array or the new one. The gate before the queue lets the swap be given up.
final class ArrayPair: Sendable {
    /// Emptied before the barrier is taken.
    let gate = EntryGate()
    private let queue = DispatchQueue(label: "memslots.arrays", attributes: .concurrent)
    // Read inside `queue`, or by the one transaction; written by it under the barrier.
    nonisolated(unsafe) private var active: TableSnapshot
    // Only touched by the one transaction.
    nonisolated(unsafe) private var inactive: TableSnapshot

    init(_ array: MemslotArray) {
        active = TableSnapshot(generation: Generation(0), array: array)
        inactive = active
    }

    /// The active array, for the transaction's own thread and those inside the queue.
    var current: TableSnapshot { active }

    /// Runs `body` with the active array; waits first while a swap is under way.
    func read<R>(as name: String, _ body: (TableSnapshot) -> R) -> R {
        let stay = gate.enter(as: name)
        defer { gate.leave(stay) }
        return queue.sync { body(active) }
    }

    /// Puts `array` in the inactive place, as the generation after the active one.
    func build(_ array: MemslotArray) {
        inactive = TableSnapshot(generation: active.generation.next, array: array)
    }

    /// Swaps the two under the barrier, which is free once the gate is empty.
    func swap() {
        queue.sync(flags: .barrier) { Swift.swap(&active, &inactive) }
    }
}
