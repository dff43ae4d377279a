import CKVM
import Memslots

/// Holds a second descriptor of each guest_memfd that a slot is bound to.
///
/// Undoing a deletion needs the file, and the VMM may have closed its own descriptor since. The
/// kernel's slot holds no reference: without one its memory would be gone with the descriptor.
struct BoundGuestMemfds {
    private struct Bound {
        let slot: Memslot
        let file: Descriptor
    }

    private var installed: [SlotKey: Bound] = [:]
    private var deleted: [SlotKey: Bound] = [:]

    /// What to bind `slot` to: the file it was bound to when it was deleted in this transaction,
    /// else the descriptor that it names.
    func descriptor(for slot: Memslot) -> Int32 {
        if let bound = deleted[slot.assignedKey], bound.slot == slot { return bound.file.rawValue }
        return slot.guestMemfd?.descriptor ?? -1
    }

    /// Notes a slot that is installed. Without a spare descriptor the undo must do with the
    /// VMM's own.
    mutating func installed(_ slot: Memslot) {
        guard let binding = slot.guestMemfd else { return }
        let copy = ckvm_duplicate(descriptor(for: slot))
        guard binding.descriptor >= 0, copy >= 0 else { return }
        installed[slot.assignedKey] = Bound(slot: slot, file: Descriptor(owning: copy))
        deleted[slot.assignedKey] = nil
    }

    /// Follows a call that was carried out.
    mutating func carriedOut(_ call: SlotCall) {
        switch call {
        case .create(let slot): installed(slot)
        case .delete(let slot):
            deleted[slot.assignedKey] = installed.removeValue(forKey: slot.assignedKey)
        case .move, .reflag: break
        }
    }

    /// Lets go of what was kept for an undo.
    mutating func forgetDeleted() { deleted.removeAll() }
}
