import MemslotScenario
package import Memslots

/// The slots of a VM of the log after its successful calls, as by `kvm_set_memory_region`. A call
/// that succeeded was legal; if it contradicts the table, the table is corrected.
struct SlotTable {
    /// The slots, ascending by address space and id.
    private(set) var slots: [Memslot] = []
    private var keys = SpaceRanges<SlotKey>()

    subscript(key: SlotKey) -> Memslot? {
        let index = position(of: key)
        return index < slots.count && slots[index].assignedKey == key ? slots[index] : nil
    }

    mutating func apply(_ region: RawRegion) -> SlotChange {
        let slot = Memslot(region)
        guard SlotRules.broken(by: slot, capabilities: .widest).isEmpty else {
            return SlotChange(surprise: .impossible)
        }
        if slot.size == .zero {
            guard let old = remove(slot.assignedKey) else {
                return SlotChange(surprise: .deletesUnknownSlot)
            }
            return SlotChange(kind: .delete, removed: [old])
        }
        guard let old = self[slot.assignedKey] else {
            return insert(slot, SlotChange(kind: .create))
        }
        guard slot.flags != .guestMemfd, old.isSame(slot) else {
            remove(old.assignedKey)
            return insert(slot, SlotChange(kind: .create, removed: [old], surprise: .replacesSlot))
        }
        if old == slot { return SlotChange(kind: .nothing) }
        if old.guestPhysicalAddress == slot.guestPhysicalAddress {
            slots[position(of: old.assignedKey)] = slot
            return SlotChange(kind: .reflag, reflagged: (old, slot))
        }
        remove(old.assignedKey)
        return insert(slot, SlotChange(kind: .move, removed: [old]))
    }

    private mutating func insert(_ slot: Memslot, _ change: SlotChange) -> SlotChange {
        var change = change
        for (_, key) in keys.pieces(in: slot.range) {
            guard let old = remove(key) else { continue }
            change.removed.append(old)
            change.surprise = .overlapsSlot(key)
        }
        change.added = slot
        slots.insert(slot, at: position(of: slot.assignedKey))
        keys.insert(slot.range, slot.assignedKey)
        return change
    }

    @discardableResult private mutating func remove(_ key: SlotKey) -> Memslot? {
        let index = position(of: key)
        guard index < slots.count, slots[index].assignedKey == key else { return nil }
        let old = slots.remove(at: index)
        _ = keys.remove(old.range)
        return old
    }

    private func position(of key: SlotKey) -> Int {
        slots.partitioningIndex(where: { $0.assignedKey >= key })
    }
}

extension Memslot {
    /// Whether KVM can turn this slot into `other` with one call.
    fileprivate func isSame(_ other: Memslot) -> Bool {
        let fixed: MemslotFlags = [.readOnly, .guestMemfd]
        return size == other.size && userspaceAddress == other.userspaceAddress
            && flags.intersection(fixed) == other.flags.intersection(fixed)
    }
}

extension Capabilities {
    /// Limits that no host exceeds: a call beyond them can't have succeeded.
    fileprivate static let widest = Capabilities(
        maxSlots: 32_767, addressSpaces: 65_536, maxGuestPage: .max,
        userspaceEnd: UserspaceAddress(rawValue: 1 << 57),
        flags: [.logDirtyPages, .readOnly, .guestMemfd])
}

/// What a call does to the array.
package enum ChangeKind: Hashable, Sendable {
    case create, delete, move
    /// `log-dirty-pages` changes.
    case reflag
    /// The slot was equal already.
    case nothing
    /// The kernel did what the log can't follow.
    case undecoded
}

struct SlotChange {
    var kind = ChangeKind.nothing
    /// The slots that were removed; more than one only after a surprise.
    var removed: [Memslot] = []
    var added: Memslot?
    var reflagged: (from: Memslot, to: Memslot)?
    var surprise: Surprise?
}

/// A successful call that contradicts those before it: calls are missing, or not decoded.
package enum Surprise: Hashable, Sendable {
    case impossible
    case deletesUnknownSlot
    case replacesSlot
    case overlapsSlot(SlotKey)
    case undecoded
}

package struct SurprisingCall: Hashable, Sendable, CustomStringConvertible {
    package var line: Int
    /// The slot; `nil` if the call was not decoded.
    package var key: SlotKey?
    package var surprise: Surprise

    package var description: String {
        let name = key.map { "slot \($0)" } ?? "a slot"
        let what =
            switch surprise {
            case .impossible: "sets \(name) to words that no kernel takes; left out"
            case .deletesUnknownSlot: "deletes \(name), which no call before it made; left out"
            case .replacesSlot:
                "changes what \(name) can't change in place; taken as deleted before"
            case .overlapsSlot(let other):
                "puts \(name) where slot \(other) was; that one taken as deleted before"
            case .undecoded:
                "changes a slot in a way that strace printed as a pointer; counted, but not known"
            }
        return "line \(line): \(what)"
    }
}
