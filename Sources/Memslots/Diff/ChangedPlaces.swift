/// Where two arrays differ: the hot loop of the comparison.
///
/// One pass over both, which are ascending by key. Nothing is written, allocated or decided for a
/// slot that stays: 3 ns each, 32,764 in 0.1 ms, where reading both arrays is most of it.
struct ChangedPlaces {
    /// Positions of a slot that differs, in the old and in the new array.
    struct Place {
        /// ``none`` for a slot that is not in the old array.
        var old: UInt32
        /// ``none`` for a slot that is not in the new array.
        var new: UInt32

        static let none = UInt32.max
    }

    /// What became of a slot.
    enum Kind {
        case added, removed, replaced, moved, reflagged
        /// It differs in words that mean nothing: a guest_memfd of a slot without one.
        case same
    }

    /// Ascending by key.
    private(set) var places: [Place] = []

    /// Compares slots that are ascending by key.
    init(from old: [Memslot], to new: [Memslot]) {
        var (i, j) = (0, 0)
        while i < old.count && j < new.count {
            if old[i] == new[j] {
                i += 1
                j += 1
                continue
            }
            let (before, after) = (old[i].key.ordinal, new[j].key.ordinal)
            places.append(
                Place(
                    old: before <= after ? UInt32(i) : Place.none,
                    new: after <= before ? UInt32(j) : Place.none))
            if before <= after { i += 1 }
            if after <= before { j += 1 }
        }
        for rest in i..<old.count { places.append(Place(old: UInt32(rest), new: Place.none)) }
        for rest in j..<new.count { places.append(Place(old: Place.none, new: UInt32(rest))) }
    }
}

extension ChangedPlaces.Place {
    /// What became of the slot.
    func kind(_ old: [Memslot], _ new: [Memslot]) -> ChangedPlaces.Kind {
        if self.old == Self.none { return .added }
        if self.new == Self.none { return .removed }
        let (before, after) = (old[Int(self.old)], new[Int(self.new)])
        if !before.canBecome(after) { return .replaced }
        if before.guestPhysicalAddress != after.guestPhysicalAddress { return .moved }
        return before.flags == after.flags ? .same : .reflagged
    }

    /// The slot before and after.
    func pair(_ old: [Memslot], _ new: [Memslot]) -> MemslotPair {
        MemslotPair(before: old[Int(self.old)], after: new[Int(self.new)])
    }
}
