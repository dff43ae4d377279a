package import Memslots

/// The memory map of one array of slots, as text or as SVG. The slots may break any rule.
package struct MapPicture: Sendable {
    package var slots: [Memslot]
    /// The embedder's names of memory objects; others are drawn as `memory 3`.
    package var names: [MemoryObjectID: String]

    package init(slots: [Memslot], names: [MemoryObjectID: String] = [:]) {
        (self.slots, self.names) = (slots, names)
    }

    /// The map as lines of text: a heading with totals, and a row for each slot and hole.
    package func lines(_ options: TextOptions = TextOptions()) -> [String] {
        let spaces = MapSpace.spaces(of: slots)
        guard !spaces.isEmpty else { return [cut("no slots", to: options.width)] }
        let parts = mapLines(
            spaces.map { ("address space \($0.id): \($0.summary)", $0.items) }, names, options)
        return Array(parts.joined(separator: [""]))
    }

    /// The map as a self-contained SVG file. Heights grow with the logarithm of the sizes, so that
    /// a page and a terabyte are readable. `limit` is the most slots and holes of an address space
    /// before neighbours are folded; at least 8, `nil` draws all.
    package func svg(title: String = "Memory map", limit: Int? = 120) -> String {
        MapSVG(spaces: MapSpace.spaces(of: slots), labels: SlotLabels(names: names), limit: limit)
            .document(title: title)
    }
}

/// The lines of each address space: its bold title, wrapped, and its rows, all in equal columns.
func mapLines(
    _ spaces: [(title: String, items: [MapItem])], _ names: [MemoryObjectID: String],
    _ options: TextOptions
) -> [[String]] {
    let labels = SlotLabels(names: names)
    let rows = spaces.map { MapRow.rows(of: $0.items, labels: labels, limit: options.limit) }
    let columns = MapColumns(rows: Array(rows.joined()), options: options)
    return zip(spaces, rows).map { space, rows in
        wrapped(space.title, to: options.width)
            .map { options.usesColour ? Ink.bold.painting($0) : $0 }
            + [columns.heading] + rows.map(columns.line)
    }
}

private struct MapSVG {
    private static let margin = 36
    private static let axisWidth = 138
    private static let blockWidth = 250
    private static let noteWidth = 200
    private static let columnWidth = axisWidth + blockWidth + noteWidth
    private static let top = 136

    let spaces: [MapSpace]
    let labels: SlotLabels
    let limit: Int?

    func document(title: String) -> String {
        var canvas = SVGCanvas()
        var y = Self.top
        for start in stride(from: 0, to: spaces.count, by: 2) {
            var bottom = y
            for (column, space) in spaces[start..<min(start + 2, spaces.count)].enumerated() {
                let x = Self.margin + column * Self.columnWidth
                bottom = max(bottom, draw(space, x: x, y: y, on: &canvas))
            }
            y = bottom + 40
        }
        let columns = min(2, max(1, spaces.count))
        let count = spaces.reduce(0) { $0 + $1.items.count }
        let summary = count == 0 ? "no slots" : counted(count, "slot")
        canvas.heading(
            title, width: columns * Self.columnWidth,
            "\(summary) · addresses grow downwards, heights with the logarithm of the size",
            x: Self.margin, legend: legend)
        return canvas.document(
            width: 2 * Self.margin + columns * Self.columnWidth, height: max(y, Self.top + 20),
            title: title, description: summary)
    }

    private var legend: [(class: String, text: String)] {
        let items = spaces.flatMap(\.items)
        let kinds = Set(items.map { labels.kind($0.slot) })
        let all = [
            ("ram", "memory", kinds.contains("ram")), ("ro", "read-only", kinds.contains("ro")),
            ("gmem", "guest_memfd", kinds.contains("gmem")),
            ("gap", "hole", items.contains { !$0.hole.isEmpty }),
        ]
        return all.filter(\.2).map { ($0.0, $0.1) }
    }

    /// Draws one address space; returns where it ends.
    private func draw(_ space: MapSpace, x: Int, y: Int, on canvas: inout SVGCanvas) -> Int {
        canvas.text("Address space \(space.id)", x: x, y: y + 6, class: "heading")
        canvas.text(space.summary, x: x + Self.axisWidth, y: y + 26, class: "muted")
        var frame = SVGFrame(x: x + Self.axisWidth, y: y + 50, width: Self.blockWidth, height: 0)
        var end: UInt64 = 0
        func row(_ first: UInt64, height: Int, isBroken: Bool) {
            frame.height = height
            canvas.axis(x: frame.x - 12, beside: frame, isBroken: isBroken)
            canvas.tick(first, x: frame.x - 12, y: frame.y)
        }
        for piece in folded(space.items.map(\.foldItem), limit: limit) {
            switch piece {
            case .item(let index):
                let item = space.items[index]
                if !item.hole.isEmpty {
                    let height = 30 + LogScale.abovePage(item.hole.length) / 128
                    row(item.hole.lowerBound, height: height, isBroken: true)
                    canvas.hole(item.hole.length, in: frame)
                    frame.y += height
                }
                let height = 30 + LogScale.abovePage(item.slot.size.rawValue) / 16
                row(item.slot.first, height: height, isBroken: false)
                draw(item.slot, in: frame, on: &canvas)
                end = max(end, item.slot.end)
            case .fold(let range):
                let group = SlotGroup(space.items[range])
                row(group.first, height: 62, isBroken: true)
                draw(group, in: frame, on: &canvas)
                end = max(end, group.last == .max ? .max : group.last + 1)
            }
            frame.y += frame.height
        }
        canvas.tick(end, x: frame.x - 12, y: frame.y)
        return frame.y + 4
    }

    private func draw(_ slot: Memslot, in frame: SVGFrame, on canvas: inout SVGCanvas) {
        canvas.group(tooltip: labels.tooltip(slot)) { canvas in
            canvas.slotBlock(slot, in: frame, class: labels.kind(slot), labels: labels)
            let note = cut(labels.backing(slot), to: 26)
            let x = frame.x + frame.width + 14
            canvas.text(note, x: x, y: frame.middle + 4, class: "mono")
        }
    }

    private func draw(_ group: SlotGroup, in frame: SVGFrame, on canvas: inout SVGCanvas) {
        canvas.group(tooltip: group.text) { canvas in
            canvas.foldBlock((group.countText, group.sizeText), in: frame, class: "fold")
            let x = frame.x + frame.width + 14
            canvas.text(group.idText, x: x, y: frame.middle - 7, class: "note")
            canvas.text(group.holeText ?? "", x: x, y: frame.middle + 9, class: "note")
        }
    }
}
