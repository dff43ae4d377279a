import Memslots

/// A slot in a picture, with the hole before it and, in the picture of a change, its mark.
struct MapItem {
    var slot: Memslot
    /// The unmapped range before the slot, perhaps empty.
    var hole: Range<UInt64> = 0..<0
    /// The slot's mark; `nil` in the map of one array.
    var mark: ChangeMark?
    /// Whether the row shows the slot as it was before the change.
    var isGone = false
    var counterpart: Memslot?

    var foldItem: FoldItem<MapLikeness> {
        var likeness = MapLikeness(mark: mark, isGone: isGone)
        if mark != .unchanged {
            likeness.size = slot.size.rawValue
            likeness.hole = hole.length
            likeness.flags = slot.flags.rawValue
            likeness.memory = slot.memory?.object.rawValue ?? 0
            likeness.shift = slot.first &- (counterpart?.first ?? slot.first)
        }
        let isChange = mark != nil && mark != .unchanged
        return FoldItem(
            likeness: likeness, rows: hole.isEmpty ? 1 : 2,
            weight: slot.size.rawValue >> 1 | (isChange ? 1 << 63 : 0))
    }
}

/// Neighbours with equal values are folded.
struct MapLikeness: Equatable {
    var mark: ChangeMark?
    var isGone = false
    var size: UInt64 = 0
    var hole: UInt64 = 0
    var flags: UInt32 = 0
    var memory: UInt32 = 0
    var shift: UInt64 = 0
}

/// One address space of a map: its slots in order of address, with the holes between them.
struct MapSpace {
    var id: AddressSpaceID
    var items: [MapItem]

    static func spaces(of slots: [Memslot]) -> [MapSpace] {
        // An array that breaks a rule may have two slots at one address.
        let ordered = slots.sorted {
            ($0.addressSpace, $0.guestPhysicalAddress, $0.assignedID)
                < ($1.addressSpace, $1.guestPhysicalAddress, $1.assignedID)
        }
        return ordered.split(by: \.addressSpace).map { part in
            let items = zip(part, part.holesBefore()).map { MapItem(slot: $0, hole: $1) }
            return MapSpace(id: part[0].addressSpace, items: items)
        }
    }

    /// `10 slots, 4 GiB; 6 holes, 1.9 GiB`.
    var summary: String {
        let holes = items.reduce(UInt64(0)) { $0.addingSaturated($1.hole.length) }
        let count = items.count { !$0.hole.isEmpty }
        let mapped = items.map(\.slot).countAndSize
        return count == 0
            ? mapped : mapped + "; \(counted(count, "hole")), \(HumanSize(bytes: holes))"
    }
}

extension Array {
    func split(by property: (Element) -> some Equatable) -> [[Element]] {
        var parts: [[Element]] = []
        var start = 0
        for index in indices
        where index + 1 == count || property(self[index]) != property(self[index + 1]) {
            parts.append(Array(self[start...index]))
            start = index + 1
        }
        return parts
    }
}
