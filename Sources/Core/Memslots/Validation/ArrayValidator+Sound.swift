/// The quick way: whether an array has a fault at all, with nothing put into words.
extension ArrayValidator {
    /// Where fewer than one slot of so many changes, looking those up beats sorting all.
    private static let few = 4

    /// What one pass tells.
    var scan: ArrayScan { ArrayScan(slots, present: present.slots) { !isPlain($0) } }

    /// Whether the array has no fault, found without putting any into words.
    func isSound(_ scan: ArrayScan) -> Bool {
        guard prior.isEmpty else { return false }
        return !scan.hasFault && crowdedSpaces().isEmpty
            && (scan.keysAscend || !hasDuplicates())
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

    /// The kernel's rules that `slot` breaks.
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
            && reservedRange(under: slot) == nil && !lacksGuestMemfd(slot)
            && !mayLackMemory(slot)
    }

    /// Whether the part of the memory object may not be whole pages, or wrap.
    private func mayLackMemory(_ slot: Memslot) -> Bool {
        guard let offset = slot.memory?.offset else { return false }
        return !offset.isPageAligned
            || offset.rawValue.addingReportingOverflow(slot.size.rawValue).overflow
    }
}
