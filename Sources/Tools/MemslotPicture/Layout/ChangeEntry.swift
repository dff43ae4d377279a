import Memslots

/// One slot of a change: before, after, and its mark.
struct ChangeEntry {
    var mark: ChangeMark
    var before: Memslot?
    var after: Memslot?

    /// Pairs the slots of two arrays by their keys, ascending by key.
    ///
    /// Corrects a mark that contradicts the arrays: a slot on one side only is added or removed. A
    /// slot without a mark is unchanged if both sides are equal, otherwise replaced.
    static func entries(
        before: [Memslot], after: [Memslot], marks: [SlotKey: ChangeMark]
    ) -> [ChangeEntry] {
        let before = before.sorted { $0.assignedKey < $1.assignedKey }
        let after = after.sorted { $0.assignedKey < $1.assignedKey }
        var entries: [ChangeEntry] = []
        var (old, new) = (0, 0)
        while old < before.count || new < after.count {
            if new == after.count
                || old < before.count && before[old].assignedKey < after[new].assignedKey
            {
                entries.append(ChangeEntry(mark: .removed, before: before[old], after: nil))
                old += 1
            } else if old == before.count || after[new].assignedKey < before[old].assignedKey {
                entries.append(ChangeEntry(mark: .added, before: nil, after: after[new]))
                new += 1
            } else {
                let mark = mark(of: before[old], after[new], marks)
                entries.append(ChangeEntry(mark: mark, before: before[old], after: after[new]))
                old += 1
                new += 1
            }
        }
        return entries
    }

    private static func mark(
        of before: Memslot, _ after: Memslot, _ marks: [SlotKey: ChangeMark]
    ) -> ChangeMark {
        switch marks[before.assignedKey] {
        case .added, .removed, .replaced: .replaced
        case .moved: .moved
        case .reflagged: .reflagged
        // A slot called unchanged is drawn once for both sides, so it must be equal.
        case .unchanged, nil: before == after ? .unchanged : .replaced
        }
    }

    var addressSpace: AddressSpaceID { (after ?? before)?.addressSpace ?? .main }
}

/// The effect of a change on a slot.
package enum ChangeMark: String, Hashable, Sendable, CaseIterable, CustomStringConvertible {
    /// Only in the array after. Drawn `+`.
    case added
    /// Only in the array before. Drawn `-`.
    case removed
    /// At another guest physical address. Drawn `>`, with the old address.
    case moved
    /// With other flags. Drawn `~`, with the flags switched.
    case reflagged
    /// Removed and added again under its id. Drawn as `-` and `+`.
    case replaced
    /// Equal before and after. Drawn dim.
    case unchanged

    package var description: String { rawValue }

    /// The number of each mark, in the order of the marks; marks that do not occur are omitted.
    static func counts(_ marks: [ChangeMark?]) -> [(mark: ChangeMark, count: Int)] {
        allCases.compactMap { mark in
            let count = marks.count { $0 == mark }
            return count == 0 ? nil : (mark, count)
        }
    }
}
