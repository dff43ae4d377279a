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

extension Plan {
    /// Returns why vCPUs are held for these calls, if they are. Computed each time, in n steps.
    ///
    /// - Parameter hooksNeedHold: whether a hook needs it.
    func holdReason(hooksNeedHold: Bool) -> HoldReason {
        guard needsQuiescence else { return hooksNeedHold ? .hook : .asked }
        let calls = operations.map(\.call)
        let leaving = calls.filter(\.changesPages).compactMap(\.before)
        let arriving = calls.filter(\.changesPages).compactMap(\.after)
        // Slots that are replaced where they are come first in both lists.
        if zip(leaving, arriving).contains(where: { $0.overlaps($1) })
            || Memslot.anyOverlap(leaving, arriving)
        {
            return .overlap
        }
        return calls.contains(where: \.endsLogging) ? .logEnds : .severalVisibleChanges
    }
}

extension SlotCall {
    /// Whether the call changes which guest pages are mapped.
    fileprivate var changesPages: Bool {
        if case .reflag = self { false } else { true }
    }
}

extension Memslot {
    /// Whether a slot of `left` overlaps one of `right`. Neither list overlaps itself.
    fileprivate static func anyOverlap(_ left: [Memslot], _ right: [Memslot]) -> Bool {
        let order = (left: AscendingOrder.byAddress(left), right: AscendingOrder.byAddress(right))
        var (first, second) = (0, 0)
        while first < order.left.count, second < order.right.count {
            let (one, other) = (left[Int(order.left[first])], right[Int(order.right[second])])
            if one.overlaps(other) { return true }
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
