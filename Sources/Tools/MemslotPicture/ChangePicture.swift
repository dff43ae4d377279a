package import Memslots

/// The change from one array of slots to another, as text or as SVG.
package struct ChangePicture: Sendable {
    /// The embedder's names of memory objects; others are drawn as `memory 3`.
    package var names: [MemoryObjectID: String]
    let entries: [ChangeEntry]

    /// The change between two arrays in any order. ``ChangeEntry`` corrects marks.
    package init(
        before: [Memslot], after: [Memslot], marks: [SlotKey: ChangeMark],
        names: [MemoryObjectID: String] = [:]
    ) {
        self.names = names
        self.entries = ChangeEntry.entries(before: before, after: after, marks: marks)
    }

    /// The map of the slots after as lines of text, each with its sign: `+` added, `-` removed, `>`
    /// moved (with the old address), `~` reflagged (with the flags that changed), a space if
    /// unchanged. A replaced slot is a `-` and a `+`. The last line counts the marks.
    package func lines(_ options: TextOptions = TextOptions()) -> [String] {
        let spaces = entries.split(by: \.addressSpace)
        guard !spaces.isEmpty else {
            return [cut("no slots before, no slots after", to: options.width)]
        }
        let parts = spaces.map { space in
            let title = "address space \(space[0].addressSpace): \(Self.summary(of: space))"
            return (title, Self.items(of: space))
        }
        return mapLines(parts, names, options).flatMap { $0 + [""] } + countLines(options)
    }

    /// The number of slots of each mark that has any, in the order of the marks.
    package var counts: [(mark: ChangeMark, count: Int)] { ChangeMark.counts(entries.map(\.mark)) }

    private func countLines(_ options: TextOptions) -> [String] {
        var lines = [StyledLine()]
        for (mark, count) in counts {
            let sign = mark == .replaced ? "-+ " : mark == .unchanged ? "" : mark.style.sign + " "
            let text = "\(sign)\(count) \(mark)"
            let used = lines[lines.count - 1].width
            if used > 0, used + 2 + displayWidth(of: text) > options.width {
                lines.append(StyledLine())
            } else if used > 0 {
                lines[lines.count - 1].append("  ")
            }
            lines[lines.count - 1].append(text, mark.style.ink)
        }
        return lines.map { $0.text(limit: options.width, colour: options.usesColour) }
    }

    /// `before 3 slots, 4 GiB; after 4 slots, 4.5 GiB`.
    static func summary(of entries: [ChangeEntry]) -> String {
        "before \(entries.compactMap(\.before).countAndSize);"
            + " after \(entries.compactMap(\.after).countAndSize)"
    }

    /// The rows of one address space, by address; at one address, removed slots come first.
    static func items(of entries: [ChangeEntry]) -> [MapItem] {
        var items = entries.compactMap { entry in
            entry.after.map { MapItem(slot: $0, mark: entry.mark, counterpart: entry.before) }
        }
        items.sort { ($0.slot.first, $0.slot.assignedID) < ($1.slot.first, $1.slot.assignedID) }
        for (index, hole) in items.map(\.slot).holesBefore().enumerated() {
            items[index].hole = hole
        }
        for entry in entries where entry.mark == .removed || entry.mark == .replaced {
            guard let slot = entry.before else { continue }
            items.append(
                MapItem(slot: slot, mark: entry.mark, isGone: true, counterpart: entry.after))
        }
        func order(_ item: MapItem) -> (UInt64, Int, SlotID) {
            (item.slot.first, item.isGone ? 0 : 1, item.slot.assignedID)
        }
        items.sort { order($0) < order($1) }
        raiseHoles(in: &items)
        return items
    }

    /// Draws each hole before the slots that were removed from it, so that rows ascend.
    private static func raiseHoles(in items: inout [MapItem]) {
        for index in items.indices where !items[index].hole.isEmpty {
            var first = index
            while first > 0, items[first - 1].isGone,
                items[first - 1].slot.first >= items[index].hole.lowerBound
            {
                first -= 1
            }
            guard first < index else { continue }
            (items[first].hole, items[index].hole) = (items[index].hole, 0..<0)
        }
    }
}
