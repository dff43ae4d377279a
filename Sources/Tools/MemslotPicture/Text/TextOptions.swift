/// How a picture is drawn in a terminal.
package struct TextOptions: Hashable, Sendable {
    /// Terminal columns; no line is wider. Below 60 columns parts are left out.
    package var width: Int
    /// Whether ANSI colours are used.
    package var usesColour: Bool
    /// Whether to keep to ASCII, for terminals and logs without Unicode.
    package var usesASCII: Bool
    /// The most rows for slots and holes of one address space, past which neighbours are
    /// folded; at least 8. `nil` shows every slot.
    package var limit: Int?

    /// Draws 100 columns wide, in Unicode, without colour, folding past 120 rows.
    package init(
        width: Int = 100, usesColour: Bool = false, usesASCII: Bool = false, limit: Int? = 120
    ) {
        self.width = width
        self.usesColour = usesColour
        self.usesASCII = usesASCII
        self.limit = limit
    }

    var ellipsis: String { usesASCII ? "..." : "…" }
    var dash: String { usesASCII ? "-" : "–" }
}
