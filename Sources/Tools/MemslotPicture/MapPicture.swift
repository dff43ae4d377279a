package import Memslots

/// The memory map of one array of slots, as text or as SVG.
///
/// Any slots can be drawn, also those that no kernel would take: ids may be missing, ranges may
/// overlap or run over the end of the address space.
package struct MapPicture: Sendable {
    /// The slots, in any order.
    package var slots: [Memslot]
    /// What the embedder calls its memory objects; others are drawn as `memory 3`.
    package var names: [MemoryObjectID: String]

    /// Prepares the picture of `slots`.
    package init(slots: [Memslot], names: [MemoryObjectID: String] = [:]) {
        self.slots = slots
        self.names = names
    }

    /// The map as lines of text without line ends.
    ///
    /// For each address space a line that sums it up, then a row for each slot and each hole,
    /// ascending by guest physical address: the range (its last byte included), the size, a bar
    /// whose length says the size on a log scale, slot id, flags, and what is behind the slot.
    /// Holes end with the last slot: what is above it is not drawn.
    package func lines(_ options: TextOptions = TextOptions()) -> [String] {
        let spaces = MapSpace.spaces(of: slots)
        guard !spaces.isEmpty else { return [cut("no slots", to: options.width)] }
        let words = SlotWords(names: names)
        let rows = spaces.map { MapRow.rows(of: $0.items, words: words, options: options) }
        let columns = MapColumns(rows: Array(rows.joined()), options: options)
        var lines: [String] = []
        for (space, rows) in zip(spaces, rows) {
            if !lines.isEmpty { lines.append("") }
            lines += spaceHeading("address space \(space.id): \(space.summary)", options)
            lines.append(columns.heading)
            lines += rows.map(columns.line)
        }
        return lines
    }
}

/// A bold heading, in as many lines as it takes.
func spaceHeading(_ text: String, _ options: TextOptions) -> [String] {
    wrapped(text, to: options.width).map { options.usesColour ? Ink.bold.painting($0) : $0 }
}
