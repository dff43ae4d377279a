import Memslots

/// The kernel's slots by the rules of KVM_SET_USER_MEMORY_REGION, written apart from the product:
/// a call is judged by what is installed, and classified as the kernel would.
struct KernelModel: Hashable {
    private(set) var slots: [SlotKey: Memslot] = [:]

    init(_ slots: [Memslot]) {
        for slot in slots { self.slots[slot.assignedKey] = slot }
    }

    var array: [Memslot] { Array(slots.values).byKey }

    /// Carries `call` out; a sentence says why the kernel would not take it as what it claims to be.
    mutating func apply(_ call: SlotCall) -> String? {
        switch call {
        case .create(let new):
            if slots[new.assignedKey] != nil { return "id \(new.assignedKey) is in use" }
            if let other = other(than: new.assignedKey, meeting: new) {
                return "meets \(other.assignedKey)"
            }
            slots[new.assignedKey] = new
        case .delete(let old):
            if slots[old.assignedKey] != old {
                return "deletes \(old.assignedKey), which is not so"
            }
            slots[old.assignedKey] = nil
        case .move(let old, let new):
            if slots[old.assignedKey] != old || old.assignedKey != new.assignedKey {
                return "moves what isn't there"
            }
            if old.guestPhysicalAddress == new.guestPhysicalAddress { return "moves nowhere" }
            if let why = immutableDifference(old, new) { return why }
            if let other = other(than: new.assignedKey, meeting: new) {
                return "meets \(other.assignedKey)"
            }
            slots[new.assignedKey] = new
        case .reflag(let old, let new):
            if slots[old.assignedKey] != old || old.assignedKey != new.assignedKey {
                return "reflags what isn't there"
            }
            if old.guestPhysicalAddress != new.guestPhysicalAddress { return "reflag moves" }
            if let why = immutableDifference(old, new) { return why }
            if old.isLogging == new.isLogging { return "reflags nothing" }
            slots[new.assignedKey] = new
        }
        return nil
    }

    private func immutableDifference(_ old: Memslot, _ new: Memslot) -> String? {
        if old.flags.contains(.guestMemfd) || new.flags.contains(.guestMemfd) {
            return "changes a guest-memfd slot"
        }
        var same = new
        same.guestPhysicalAddress = old.guestPhysicalAddress
        if same.isLogging != old.isLogging { same.flags.formSymmetricDifference(.logDirtyPages) }
        return same == old ? nil : "changes more than address and log"
    }

    private func other(than key: SlotKey, meeting slot: Memslot) -> Memslot? {
        slots.values.first { $0.assignedKey != key && $0.overlaps(slot) }
    }
}
