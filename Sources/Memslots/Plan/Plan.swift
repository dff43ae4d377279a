/// The slot calls that turn one array into another, in an order in which no intermediate state
/// overlaps: deletes, moves, creates, logs on, logs off.
public struct Plan: Hashable, Sendable {
    /// The calls, in the order in which they are carried out.
    public let operations: [PlannedOperation]
    /// Whether no plan with fewer calls exists, as far as that was proved.
    public let isOptimal: Bool

    /// Whether vCPUs must be held out of the guest for these calls.
    public var needsQuiescence: Bool { operations.contains { $0.call.needsQuiescence } }

    /// The changes in the order in which their first call stands in the plan: the order in which
    /// hooks are told. A replaced slot is told as removed, then as added.
    public let changes: [MemslotChange]

    /// Plans `diff`.
    ///
    /// Every slot that differs costs one call, a replaced one two. Moves that wait for each other
    /// in a circle cost one call more for each slot at which circles are broken, and no plan can
    /// do with less, since in each circle one slot must get out of the way before it can arrive.
    public init(_ diff: MemslotDiff) {
        var effort = FeedbackVertexSet.effort
        self.init(diff, effort: &effort)
    }

    /// Plans `diff`, and takes off `effort` what the search for the fewest calls has cost.
    init(_ diff: MemslotDiff, effort: inout Int) {
        let order = MoveOrder(diff.moved, effort: &effort)
        let broken = order.broken.map { diff.moved[$0] }
        let replaced = Self.keysInBoth(diff.removed, diff.added)

        var operations: [PlannedOperation] = []
        operations.reserveCapacity(
            diff.removed.count + diff.added.count + diff.moved.count + broken.count
                + diff.reflagged.count)
        let deletes = Self.merge(
            diff.removed.map { Step($0, replaced.contains($0.key) ? .replaced : nil) },
            broken.map { Step($0.before, .cycle) })
        operations += deletes.map { PlannedOperation(.delete($0.slot), because: $0.reason) }
        operations += order.direct.map {
            PlannedOperation(.move(from: diff.moved[$0].before, to: diff.moved[$0].after))
        }
        let creates = Self.merge(
            diff.added.map { Step($0, replaced.contains($0.key) ? .replaced : nil) },
            broken.map { Step($0.after, .cycle) })
        operations += creates.map { PlannedOperation(.create($0.slot), because: $0.reason) }
        for on in [true, false] {
            for pair in diff.reflagged where pair.after.isLogging == on {
                operations.append(PlannedOperation(.reflag(from: pair.before, to: pair.after)))
            }
        }

        self.operations = operations
        self.isOptimal = order.isMinimum
        self.changes = Self.changes(of: operations, broken: broken)
    }

    private struct Step {
        let slot: Memslot
        let reason: PlannedOperation.Reason?

        init(_ slot: Memslot, _ reason: PlannedOperation.Reason?) {
            self.slot = slot
            self.reason = reason
        }
    }

    private static func merge(_ left: [Step], _ right: [Step]) -> [Step] {
        right.isEmpty ? left : (left + right).sorted { $0.slot.key < $1.slot.key }
    }

    private static func keysInBoth(_ removed: [Memslot], _ added: [Memslot]) -> Set<SlotKey> {
        guard !removed.isEmpty, !added.isEmpty else { return [] }
        return Set(removed.map(\.key)).intersection(added.map(\.key))
    }

    private static func changes(
        of operations: [PlannedOperation], broken: [MemslotPair]
    ) -> [MemslotChange] {
        let target = Dictionary(uniqueKeysWithValues: broken.map { ($0.before.key, $0.after) })
        return operations.compactMap { operation in
            switch operation.call {
            case .create(let slot): operation.reason == .cycle ? nil : .added(slot)
            case .delete(let slot):
                if operation.reason == .cycle, let after = target[slot.key] {
                    .moved(from: slot, to: after)
                } else {
                    .removed(slot)
                }
            case .move(let from, let to): .moved(from: from, to: to)
            case .reflag(let from, let to): .reflagged(from: from, to: to)
            }
        }
    }
}
