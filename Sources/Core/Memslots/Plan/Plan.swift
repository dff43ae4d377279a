/// The slot calls that turn one array into another, in an order in which no intermediate state
/// overlaps: deletes, moves, creates, logs on, logs off.
public struct Plan: Hashable, Sendable {
    /// The calls, in the order in which they are applied.
    public internal(set) var operations: [PlannedOperation]
    /// Whether no plan with fewer calls exists, as far as that was proved.
    public let isOptimal: Bool
    /// Whether vCPUs must be held out of the guest for these calls: not for creates and logs on
    /// alone, and, on a backend with ``Capabilities/deletesAtOneInstant``, not for exactly one
    /// deletion of a slot that does not log.
    public let needsQuiescence: Bool

    /// Plans `diff` for a backend with `capabilities`.
    ///
    /// Every slot that differs costs one call, a replaced one two. Moves that wait for each other
    /// in a cycle cost one call more for each slot at which cycles are broken. No plan has fewer,
    /// because in each cycle one slot must get out of the way before it can arrive.
    public init(_ diff: MemslotDiff, for capabilities: Capabilities = Capabilities()) {
        var effort = FeedbackVertexSet.effort
        self.init(diff, for: capabilities, effort: &effort)
    }

    /// Plans `diff`, and subtracts from `effort` the cost of the search for the fewest calls.
    init(_ diff: MemslotDiff, for capabilities: Capabilities = Capabilities(), effort: inout Int) {
        let order = MoveOrder(diff.moved, effort: &effort)
        let broken = order.broken.map { diff.moved[$0] }
        var operations: [PlannedOperation] = []
        operations.reserveCapacity(
            diff.removed.count + diff.added.count + diff.moved.count + broken.count
                + diff.reflagged.count)

        Self.merge(diff.removed, replacing: diff.added, broken.lazy.map(\.before)) {
            operations.append(PlannedOperation(.delete($0), because: $1))
        }
        for move in order.direct {
            let pair = diff.moved[move]
            operations.append(PlannedOperation(.move(from: pair.before, to: pair.after)))
        }
        Self.merge(diff.added, replacing: diff.removed, broken.lazy.map(\.after)) {
            operations.append(PlannedOperation(.create($0), because: $1))
        }
        for on in [true, false] {
            for pair in diff.reflagged where pair.after.isLogging == on {
                operations.append(PlannedOperation(.reflag(from: pair.before, to: pair.after)))
            }
        }

        self.operations = operations
        isOptimal = order.isMinimum
        let isLoneDeletion =
            operations.count == 1 && diff.removed.count == 1 && !diff.removed[0].isLogging
        needsQuiescence =
            !(isLoneDeletion && capabilities.deletesAtOneInstant)
            && (!diff.removed.isEmpty || !diff.moved.isEmpty
                || diff.reflagged.contains { !$0.after.isLogging })
    }

    /// The changes in the order in which their first call stands in the plan: the order in which
    /// hooks get them. A replaced slot is removed, then added. Computed each time.
    public var changes: [MemslotChange] {
        var targets: [SlotKey: Memslot] = [:]
        for operation in operations where operation.reason == .cycle {
            if case .create(let slot) = operation.call { targets[slot.assignedKey] = slot }
        }
        var changes: [MemslotChange] = []
        changes.reserveCapacity(operations.count - targets.count)
        for operation in operations {
            switch operation.call {
            case .create(let slot): if operation.reason != .cycle { changes.append(.added(slot)) }
            case .delete(let slot):
                if operation.reason == .cycle, let target = targets[slot.assignedKey] {
                    changes.append(.moved(from: slot, to: target))
                } else {
                    changes.append(.removed(slot))
                }
            case .move(let from, let to): changes.append(.moved(from: from, to: to))
            case .reflag(let from, let to): changes.append(.reflagged(from: from, to: to))
            }
        }
        return changes
    }

    /// Gives `body` the slots of `changed` and of `broken` by ascending key, each with the reason
    /// why it is deleted or created. All three are ascending by key.
    private static func merge(
        _ changed: [Memslot], replacing others: [Memslot], _ broken: some Collection<Memslot>,
        _ body: (Memslot, PlannedOperation.Reason?) -> Void
    ) {
        var other = 0
        var broken = broken.makeIterator()
        var cycle = broken.next()
        for slot in changed {
            let key = slot.assignedKey.ordinal
            while let next = cycle, next.assignedKey.ordinal < key {
                body(next, .cycle)
                cycle = broken.next()
            }
            while other < others.count, others[other].assignedKey.ordinal < key { other += 1 }
            let isReplaced = other < others.count && others[other].assignedKey.ordinal == key
            body(slot, isReplaced ? .replaced : nil)
        }
        while let next = cycle {
            body(next, .cycle)
            cycle = broken.next()
        }
    }
}

/// One slot call of a plan, and why it is there where that is not plain from the difference.
public struct PlannedOperation: Hashable, Sendable {
    /// Why a call is made that the change alone does not ask for.
    public enum Reason: String, CaseIterable, Hashable, Sendable {
        /// The slot is deleted and created to let others move that wait for each other.
        case cycle
        /// The slot changes in a way that KVM can't do in place.
        case replaced
    }

    /// The call.
    public var call: SlotCall
    /// The reason, if the change alone does not explain the call.
    public var reason: Reason?

    /// Plans `call`.
    public init(_ call: SlotCall, because reason: Reason? = nil) {
        (self.call, self.reason) = (call, reason)
    }
}
