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
    package init(from old: [Memslot], to new: [Memslot]) {
        self.init(from: old, to: new, ChangedPlaces(from: old, to: new))
    }

    /// Sorts the slots at `changed`, which are those that differ, into the kinds of change.
    init(from old: [Memslot], to new: [Memslot], _ changed: ChangedPlaces) {
        let places = changed.places
        guard !places.isEmpty else { return }
        let kinds = places.map { $0.kind(old, new) }
        reserve(kinds)
        for (place, kind) in zip(places, kinds) {
            if kind == .removed || kind == .replaced { removed.append(old[Int(place.old)]) }
            if kind == .added || kind == .replaced { added.append(new[Int(place.new)]) }
            if kind == .moved { moved.append(place.pair(old, new)) }
            if kind == .reflagged { reflagged.append(place.pair(old, new)) }
        }
    }

    /// Whether both arrays are the same.
    public var isEmpty: Bool {
        added.isEmpty && removed.isEmpty && moved.isEmpty && reflagged.isEmpty
    }

    /// With all changed, growing lists of 64 and 128 bytes an entry would be most of the work.
    private mutating func reserve(_ kinds: [ChangedPlaces.Kind]) {
        var counts = (added: 0, removed: 0, moved: 0, reflagged: 0)
        for kind in kinds {
            switch kind {
            case .added: counts.added += 1
            case .removed: counts.removed += 1
            case .replaced:
                counts.added += 1
                counts.removed += 1
            case .moved: counts.moved += 1
            case .reflagged: counts.reflagged += 1
            case .same: break
            }
        }
        added.reserveCapacity(counts.added)
        removed.reserveCapacity(counts.removed)
        moved.reserveCapacity(counts.moved)
        reflagged.reserveCapacity(counts.reflagged)
    }
}

extension Memslot {
    /// Whether KVM can turn this slot into `other` in place: only the guest physical address and
    /// `log-dirty-pages` may differ, and nothing at all for a `guest-memfd` slot.
    func canBecome(_ other: Memslot) -> Bool {
        if flags.contains(.guestMemfd) || other.flags.contains(.guestMemfd) { return self == other }
        return size == other.size && userspaceAddress == other.userspaceAddress
            && memoryObject == other.memoryObject && memoryOffset == other.memoryOffset
            && flags.subtracting(.logDirtyPages) == other.flags.subtracting(.logDirtyPages)
    }
}

/// One of the four kinds of change that KVM knows.
public enum MemslotChange: Hashable, Sendable {
    /// A slot that was not there before.
    case added(Memslot)
    /// A slot that is not there any more.
    case removed(Memslot)
    /// A slot with another guest physical address, and perhaps another `log-dirty-pages`.
    case moved(from: Memslot, to: Memslot)
    /// A slot of which `log-dirty-pages` alone is another.
    case reflagged(from: Memslot, to: Memslot)

    /// What names the slot.
    public var key: SlotKey {
        switch self {
        case .added(let slot), .removed(let slot): slot.assignedKey
        case .moved(let from, _), .reflagged(let from, _): from.assignedKey
        }
    }
}

/// A slot before and after.
public struct MemslotPair: Hashable, Sendable {
    /// The slot as it was.
    public var before: Memslot
    /// The slot as it is to be.
    public var after: Memslot
}
