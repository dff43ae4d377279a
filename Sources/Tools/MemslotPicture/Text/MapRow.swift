import Memslots

/// A row of a map in a terminal, before its columns are laid out.
struct MapRow {
    /// `+`, `-`, `>`, `~`, or a space.
    var sign = " "
    var first, last: UInt64
    var size = ""
    var bar: SizeBar?
    var id = ""
    var flags = ""
    var backing = ""
    /// The text of folded rows, which replaces all columns after the range.
    var fold: String?
    var ink = Ink.plain
    var barInk = Ink.plain
    var flagInk = Ink.plain

    static func rows(of items: [MapItem], labels: SlotLabels, limit: Int?) -> [MapRow] {
        var rows: [MapRow] = []
        for piece in folded(items.map(\.foldItem), limit: limit) {
            switch piece {
            case .item(let index):
                if !items[index].hole.isEmpty { rows.append(hole(items[index].hole)) }
                rows.append(slot(items[index], labels))
            case .fold(let range): rows.append(fold(SlotGroup(items[range])))
            }
        }
        return rows
    }

    private static func hole(_ range: Range<UInt64>) -> MapRow {
        MapRow(
            first: range.lowerBound, last: range.upperBound - 1,
            size: HumanSize(bytes: range.length).description,
            bar: SizeBar(kind: .hole, bytes: range.length), backing: "hole", ink: .dim,
            barInk: .dim)
    }

    private static func fold(_ group: SlotGroup) -> MapRow {
        let text = "… \(group.text) …"
        let ink = group.commonMark.map { $0.style.ink } ?? .dim
        let sign = group.commonMark.map { $0.style.sign } ?? " "
        return MapRow(sign: sign, first: group.first, last: group.last, fold: text, ink: ink)
    }

    private static func slot(_ item: MapItem, _ labels: SlotLabels) -> MapRow {
        let slot = item.slot
        let isReadOnly = slot.flags.contains(.readOnly)
        var row = MapRow(
            first: slot.first, last: slot.last, size: HumanSize(slot.size).description,
            bar: SizeBar(kind: isReadOnly ? .readOnly : .memory, bytes: slot.size.rawValue),
            id: labels.id(slot), flags: labels.flags(slot.flags), backing: labels.backing(slot),
            barInk: isReadOnly ? .yellow : .cyan, flagInk: slot.isLogging ? .magenta : .yellow)
        guard let mark = item.mark else { return row }
        let style = item.isGone ? ChangeMark.removed.style : mark.style
        row.sign = style.sign
        (row.ink, row.barInk, row.flagInk) = (style.ink, style.ink, style.ink)
        guard let old = item.counterpart, !item.isGone else { return row }
        if mark == .moved { row.backing = "from \(old.guestPhysicalAddress)" }
        if mark == .moved || mark == .reflagged, old.flags != slot.flags {
            row.flags = labels.flagChange(from: old.flags, to: slot.flags)
        }
        return row
    }
}

extension ChangeMark {
    /// The sign and the ink of a slot after a change; a replaced slot also has a removed row.
    var style: (sign: String, ink: Ink) {
        switch self {
        case .added, .replaced: ("+", .green)
        case .removed: ("-", .red)
        case .moved: (">", .blue)
        case .reflagged: ("~", .magenta)
        case .unchanged: (" ", .dim)
        }
    }
}
