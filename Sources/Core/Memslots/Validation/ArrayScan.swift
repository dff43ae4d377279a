/// The result of one pass over an array: the hot loop of validation.
///
/// An array in order that changes little is validated by this alone. A slot of the present array was
/// validated before; only its place among the others is checked. The same walk finds the changes. Measured: 32,764 slots in 0.2 ms, of which reading
/// both arrays is the half.
struct ArrayScan {
    /// Whether every slot has an id, each above the one before.
    private(set) var keysAscend = true
    /// Whether each slot begins where the one before it ends, or later.
    private(set) var rangesAscend = true
    private(set) var hasGuestMemfd = false
    /// Whether a slot breaks a rule by itself.
    private(set) var hasFault = false
    /// Where the array differs from the present one; only where ``keysAscend``.
    private(set) var changes = ChangedPlaces()

    /// Scans `slots` up to the first that breaks a rule by itself.
    ///
    /// - Parameters:
    ///   - present: slots that are known to keep the rules, ascending by key.
    ///   - hasFault: whether a slot that is not among them breaks a rule.
    init(_ slots: [Memslot], present: [Memslot], hasFault: (Memslot) -> Bool) {
        var next = 0
        // In plain variables: nothing is stored a slot.
        var (keysAscend, rangesAscend, flags) = (true, true, MemslotFlags())
        // One more than the key before, which can't wrap: the largest key has no id.
        var lowestKey: UInt64 = 0
        var (space, end) = (UInt32(0), UInt64(0))
        for index in slots.indices {
            let key = slots[index].assignedKey.ordinal
            if next < present.count, slots[index] == present[next] {
                next += 1
            } else {
                if hasFault(slots[index]) {
                    self.hasFault = true
                    return
                }
                if keysAscend { changes.record(slots[index], at: index, &next, present) }
            }
            if key < lowestKey || !slots[index].hasID { keysAscend = false }
            lowestKey = key &+ 1

            let start = slots[index].guestPhysicalAddress.rawValue
            let own = slots[index].addressSpace.rawValue
            if own == space ? start < end : own < space { rangesAscend = false }
            space = own
            // Can't wrap in a slot that keeps the rules.
            end = start &+ slots[index].size.rawValue
            flags.formUnion(slots[index].flags)
        }
        if keysAscend { changes.recordRemoved(present[next...]) }
        (self.keysAscend, self.rangesAscend) = (keysAscend, rangesAscend)
        hasGuestMemfd = flags.contains(.guestMemfd)
    }
}

/// The quick check: whether an array has a fault at all, without describing any.
extension ArrayValidator {
    /// If fewer than one slot of so many changes, looking up those beats sorting all.
    private static let few = 4

    var scan: ArrayScan { ArrayScan(slots, present: present.slots) { !isPlain($0) } }

    func isSound(_ scan: ArrayScan) -> Bool {
        guard prior.isEmpty else { return false }
        return !scan.hasFault && crowdedSpaces().isEmpty && (scan.keysAscend || !hasDuplicates())
            && (scan.rangesAscend || !hasOverlaps(scan))
            && (!scan.hasGuestMemfd || boundTwice().isEmpty)
    }

    private func hasDuplicates() -> Bool {
        let order = AscendingOrder.byKey(slots)
        return zip(order, order.dropFirst()).contains { left, right in
            let slot = slots[Int(right)]
            return slot.hasID && slot.assignedKey == slots[Int(left)].assignedKey
        }
    }

    /// Whether slots, none of which is empty or wraps, share a guest page.
    private func hasOverlaps(_ scan: ArrayScan) -> Bool {
        if scan.keysAscend, scan.changes.places.count < slots.count / Self.few {
            return ChangedOverlaps(in: slots, scan.changes, present: present).exist
        }
        let order = AscendingOrder.byAddress(slots)
        return zip(order, order.dropFirst()).contains { left, right in
            slots[Int(left)].overlaps(slots[Int(right)])
        }
    }

    func rulesBroken(by slot: Memslot) -> SlotRules {
        var broken = SlotRules.broken(by: slot, capabilities: capabilities)
        // The table will pick one that is in range.
        if !slot.hasID && !requiresIDs { broken.remove(.slotOutOfRange) }
        return broken
    }

    /// Whether no rule can be broken by the slot's own words.
    func isPlain(_ slot: Memslot) -> Bool {
        rulesBroken(by: slot).isEmpty && slot.size != .zero
            && !SlotRules.exceedsGuestPages(slot, capabilities: capabilities)
            && reservedRange(under: slot) == nil && !lacksGuestMemfd(slot) && !mayLackMemory(slot)
    }

    /// Whether the part of the memory object may not be whole pages, or wrap.
    private func mayLackMemory(_ slot: Memslot) -> Bool {
        guard let offset = slot.memory?.offset else { return false }
        return !offset.isMultiple(of: capabilities.pageSize)
            || offset.rawValue.addingReportingOverflow(slot.size.rawValue).overflow
    }
}
