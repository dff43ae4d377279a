/// What one pass over an array tells: the hot loop of validation.
///
/// An array that comes in order and changes little is judged by this alone. A slot that stands in
/// the present array as it is has been judged before, so that only its place among the others is
/// looked at: 32,764 slots take 0.1 ms.
struct ArrayScan {
    /// Whether every slot has an id, each above the one before.
    private(set) var keysAscend = true
    /// Whether each slot begins where the one before it ends, or later.
    private(set) var rangesAscend = true
    /// Whether a slot may be bound to part of a guest_memfd.
    private(set) var hasGuestMemfd = false
    /// Whether a slot breaks a rule by itself.
    private(set) var hasFault = false

    /// Looks at `slots` up to the first that breaks a rule by itself.
    ///
    /// - Parameters:
    ///   - present: slots that are known to keep the rules, ascending by key.
    ///   - hasFault: judges a slot that is not among them.
    init(_ slots: [Memslot], present: [Memslot], hasFault: (Memslot) -> Bool) {
        var next = 0
        var lastKey: UInt64 = 0
        var (space, end) = (UInt32(0), UInt64(0))
        for (index, slot) in slots.enumerated() {
            let key = slot.key.ordinal
            if next < present.count, slot == present[next] {
                next += 1
            } else {
                if hasFault(slot) {
                    self.hasFault = true
                    return
                }
                while next < present.count, present[next].key.ordinal <= key { next += 1 }
            }
            if key <= lastKey && index > 0 || slot.id == .unassigned { keysAscend = false }
            lastKey = key

            let start = slot.guestPhysicalAddress.rawValue
            if slot.addressSpace.rawValue == space
                ? start < end : slot.addressSpace.rawValue < space
            {
                rangesAscend = false
            }
            space = slot.addressSpace.rawValue
            // Can't wrap in a slot that keeps the rules.
            end = slot.guestPhysicalEnd.rawValue
            if slot.flags.contains(.guestMemfd) { hasGuestMemfd = true }
        }
    }
}
