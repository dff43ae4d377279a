import Memslots

enum ChangeSide: CaseIterable { case before, after }

struct ChangeEntry {
    var mark: ChangeMark
    var before, after: Memslot?

    /// Pairs the slots of two arrays by key, ascending. Corrects marks that contradict the arrays.
    static func entries(
        before: [Memslot], after: [Memslot], marks: [SlotKey: ChangeMark]
    ) -> [ChangeEntry] {
        let sides = [before, after].map { Dictionary(grouping: $0, by: \.assignedKey) }
        return Set(sides.flatMap(\.keys)).sorted().flatMap { key in
            // An array that no kernel would accept may have a key twice.
            let (old, new) = (sides[0][key] ?? [], sides[1][key] ?? [])
            return (0..<max(old.count, new.count)).map { index in
                let before = index < old.count ? old[index] : nil
                let after = index < new.count ? new[index] : nil
                let mark: ChangeMark =
                    switch marks[key] {
                    case _ where before == nil: .added
                    case _ where after == nil: .removed
                    case .moved: .moved
                    case .reflagged: .reflagged
                    // A slot called unchanged is drawn once for both sides, so it must be equal.
                    case .unchanged, nil: before == after ? .unchanged : .replaced
                    case .added, .removed, .replaced: .replaced
                    }
                return ChangeEntry(mark: mark, before: before, after: after)
            }
        }
    }

    var addressSpace: AddressSpaceID { (after ?? before)?.addressSpace ?? .main }

    subscript(side: ChangeSide) -> Memslot? { side == .before ? before : after }
}

/// The effect of a change on a slot.
package enum ChangeMark: String, Hashable, Sendable, CaseIterable {
    case added
    case removed
    /// At another guest physical address. Drawn `>`, with the old address.
    case moved
    /// With other flags. Drawn `~`, with the flags switched.
    case reflagged
    /// Removed and added again under its id. Drawn as `-` and `+`.
    case replaced
    case unchanged

    /// The number of each mark, in the order of the marks; marks that do not occur are omitted.
    static func counts(_ marks: [ChangeMark?]) -> [(mark: ChangeMark, count: Int)] {
        allCases.compactMap { mark in
            let count = marks.count { $0 == mark }
            return count == 0 ? nil : (mark, count)
        }
    }
}
