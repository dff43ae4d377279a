import Memslots

/// One slot of a change: what it was, what it is, and what that is called.
struct ChangeEntry {
    var mark: ChangeMark
    var before: Memslot?
    var after: Memslot?

    /// Pairs the slots of two arrays by their keys, ascending by key.
    ///
    /// A mark that the arrays contradict is put right: a slot on one side only is added or
    /// removed, whatever `marks` says. A missing mark means unchanged if the slots are equal,
    /// else replaced.
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

    /// The address space of the slot.
    var addressSpace: AddressSpaceID { (after ?? before)?.addressSpace ?? .main }
}

/// What a change does to a slot, as a picture shows it.
package enum ChangeMark: String, Hashable, Sendable, CaseIterable, CustomStringConvertible {
    /// Only in the array after. Drawn `+`.
    case added
    /// Only in the array before. Drawn `-`.
    case removed
    /// At another guest physical address. Drawn `>`, with the address it came from.
    case moved
    /// With other flags. Drawn `~`, with the flags switched.
    case reflagged
    /// Removed and added again under its id. Drawn as `-` and `+`.
    case replaced
    /// As it was. Drawn dim.
    case unchanged

    /// The case's name.
    package var description: String { rawValue }
}
