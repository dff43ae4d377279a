/// Why a transaction holds vCPUs out of the guest: the first of these that applies.
public enum HoldReason: String, CaseIterable, Hashable, Sendable {
    /// A guest page that both arrays map lies in a slot that is deleted, moved or replaced.
    case overlap
    /// A slot that logs is deleted or replaced, or stops logging.
    case logEnds = "log-ends"
    /// vCPUs could see the changes one after another.
    case severalVisibleChanges = "several-visible-changes"
    /// A hook needs it.
    case hook
    /// The caller asked for it.
    case asked
}

/// How the calls of a plan lie around the hold of vCPUs.
struct Hold: Hashable, Sendable {
    /// Why vCPUs are held; `nil` if they are not.
    var reason: HoldReason?
    /// The number of calls before the hold, all of them creates; 0 without a hold.
    var head = 0
    /// The number of calls after the hold, all of them deletes; 0 without a hold.
    var tail = 0
}

extension Plan {
    /// Decides whether vCPUs are held for these calls, which make `diff`. With `.continuity`, moves
    /// calls that need no hold to the beginning and to the end.
    mutating func arrange(
        _ diff: MemslotDiff, _ quiesce: SubmitOptions.Quiesce, hooksNeedHold: Bool
    ) -> Hold {
        guard needsQuiescence else {
            return Hold(reason: hooksNeedHold ? .hook : quiesce == .always ? .asked : nil)
        }
        // Most often a slot is replaced where it is.
        let isPlain = quiesce != .continuity
        if isPlain, zip(diff.removed, diff.added).contains(where: { $0.overlaps($1) }) {
            return Hold(reason: .overlap)
        }
        let leaving = diff.removed + diff.moved.map(\.before)
        let arriving = diff.added + diff.moved.map(\.after)
        if isPlain {
            let overlaps = Memslot.overlap(leaving, arriving) { _, _ in true }
            return Hold(reason: overlaps ? .overlap : diff.reasonWithoutOverlap)
        }

        // What shares a page with a slot of the other array.
        var shared: (leaving: Set<SlotKey>, arriving: Set<SlotKey>) = ([], [])
        var keepsPages = true
        _ = Memslot.overlap(leaving, arriving) { old, new in
            shared.leaving.insert(old.assignedKey)
            shared.arriving.insert(new.assignedKey)
            keepsPages = keepsPages && old.showsSamePages(as: new)
            return false
        }
        var reason = shared.leaving.isEmpty ? diff.reasonWithoutOverlap : .overlap
        if reason == .severalVisibleChanges, !diff.moved.contains(where: \.before.isLogging) {
            guard hooksNeedHold else { return Hold() }
            reason = .hook
        }
        guard keepsPages, !hooksNeedHold else { return Hold(reason: reason) }

        // A guest_memfd that the plan frees may be a place that it needs.
        let freed = Set(leaving.compactMap(\.guestMemfd?.descriptor))
        let needed = Set(arriving.compactMap(\.guestMemfd?.descriptor))
        var (head, middle, tail): ([PlannedOperation], [PlannedOperation], [PlannedOperation])
        (head, middle, tail) = ([], [], [])
        for operation in operations {
            switch operation.call {
            case .create(let slot)
            where operation.reason == nil && !slot.isLogging
                && !shared.arriving.contains(slot.assignedKey)
                && slot.guestMemfd.map { freed.contains($0.descriptor) } != true:
                head.append(operation)
            case .delete(let slot)
            where operation.reason == nil && !slot.isLogging
                && !shared.leaving.contains(slot.assignedKey)
                && slot.guestMemfd.map { needed.contains($0.descriptor) } != true:
                tail.append(operation)
            default: middle.append(operation)
            }
        }
        operations = head + middle + tail
        return Hold(reason: reason, head: head.count, tail: tail.count)
    }
}

extension MemslotDiff {
    /// Why vCPUs are held, if no page that both arrays map lies in a slot that leaves.
    fileprivate var reasonWithoutOverlap: HoldReason {
        let endsLog =
            removed.contains(where: \.isLogging)
            || (moved + reflagged).contains { $0.before.isLogging && !$0.after.isLogging }
        return endsLog ? .logEnds : .severalVisibleChanges
    }
}

extension Memslot {
    /// Whether both slots have the same host page, with the same rights, at each address that both
    /// map. Private memory never counts as the same.
    fileprivate func showsSamePages(as other: Memslot) -> Bool {
        let (own, others) = (HostPages(of: self), HostPages(of: other))
        return own.object == others.object
            && own.bytes.lowerBound &- guestPhysicalAddress.rawValue
                == others.bytes.lowerBound &- other.guestPhysicalAddress.rawValue
            && flags.symmetricDifference(other.flags).isDisjoint(with: .readOnly)
            && flags.union(other.flags).isDisjoint(with: .guestMemfd)
    }

    /// Calls `body` for each slot of `left` with each of `right` that it overlaps, until it returns
    /// `true`. Neither list overlaps itself.
    ///
    /// - Returns: whether it has returned `true`.
    fileprivate static func overlap(
        _ left: [Memslot], _ right: [Memslot], _ body: (Memslot, Memslot) -> Bool
    ) -> Bool {
        let order = (left: AscendingOrder.byAddress(left), right: AscendingOrder.byAddress(right))
        var (first, second) = (0, 0)
        while first < order.left.count, second < order.right.count {
            let (one, other) = (left[Int(order.left[first])], right[Int(order.right[second])])
            if one.overlaps(other), body(one, other) { return true }
            if (one.addressSpace, one.guestPhysicalEnd)
                <= (other.addressSpace, other.guestPhysicalEnd)
            {
                first += 1
            } else {
                second += 1
            }
        }
        return false
    }
}
