/// What differs between two arrays, slot by slot.
///
/// Each list is ascending by address space and id. A slot whose size, backing, `readonly` or
/// `guest-memfd` changes can't be changed in place: it stands in ``removed`` and in ``added``.
/// So does a `guest-memfd` slot of which anything changes.
/// Kernel: `kvm_set_memory_region`, the part that chooses `KVM_MR_*`.
public struct MemslotDiff: Hashable, Sendable {
    /// Slots of the new array that are created.
    public private(set) var added: [Memslot] = []
    /// Slots of the old array that are deleted.
    public private(set) var removed: [Memslot] = []
    /// Slots that get another guest physical address.
    public private(set) var moved: [MemslotPair] = []
    /// Slots of which `log-dirty-pages` alone changes.
    public private(set) var reflagged: [MemslotPair] = []

    /// Compares two arrays. Cost: one pass over both, no allocation for a slot that stays.
    public init(from old: MemslotArray, to new: MemslotArray) {
        self.init(from: old.slots, to: new.slots)
    }

    /// Compares slots that are ascending by key.
    init(from old: [Memslot], to new: [Memslot]) {
        var (i, j) = (0, 0)
        while i < old.count && j < new.count {
            let (before, after) = (old[i].key.ordinal, new[j].key.ordinal)
            if before == after {
                append(old[i], new[j])
                i += 1
                j += 1
            } else if before < after {
                removed.append(old[i])
                i += 1
            } else {
                added.append(new[j])
                j += 1
            }
        }
        removed += old[i...]
        added += new[j...]
    }

    /// Whether both arrays are the same.
    public var isEmpty: Bool {
        added.isEmpty && removed.isEmpty && moved.isEmpty && reflagged.isEmpty
    }

    private mutating func append(_ before: Memslot, _ after: Memslot) {
        if before == after { return }
        if !before.canBecome(after) {
            removed.append(before)
            added.append(after)
        } else if before.guestPhysicalAddress != after.guestPhysicalAddress {
            moved.append(MemslotPair(before: before, after: after))
        } else if before.flags != after.flags {
            // Else they differ in words that mean nothing: a guest_memfd of a slot without one.
            reflagged.append(MemslotPair(before: before, after: after))
        }
    }
}

extension Memslot {
    /// Whether KVM can turn this slot into `other` in place: only the guest physical address and
    /// `log-dirty-pages` may differ, and nothing at all for a `guest-memfd` slot.
    func canBecome(_ other: Memslot) -> Bool {
        if flags.contains(.guestMemfd) || other.flags.contains(.guestMemfd) {
            return self == other
        }
        return size == other.size && userspaceAddress == other.userspaceAddress
            && memoryObject == other.memoryObject && memoryOffset == other.memoryOffset
            && flags.subtracting(.logDirtyPages) == other.flags.subtracting(.logDirtyPages)
    }
}
