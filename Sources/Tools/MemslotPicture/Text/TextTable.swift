/// A table of text in aligned columns, for a terminal.
///
/// Columns are two spaces apart and as wide as their widest cell; only the last one shrinks when
/// the table is wider than its limit.
package struct TextTable: Sendable {
    package enum Alignment: Hashable, Sendable {
        /// Left, for words.
        case leading
        /// Right, for numbers.
        case trailing
    }

    /// What happens to a last column that is too wide.
    package enum Overflow: Hashable, Sendable {
        /// It is cut, and ends in `…`.
        case cut
        /// It continues on the next line, broken at spaces if possible.
        case wrap
    }

    package struct Column: Hashable, Sendable, ExpressibleByStringLiteral {
        /// The heading, which may be empty.
        package var title: String
        package var alignment: Alignment

        package init(_ title: String, _ alignment: Alignment = .leading) {
            self.title = title
            self.alignment = alignment
        }

        package init(stringLiteral title: String) { self.init(title) }

        /// Makes a column of numbers.
        package static func numbers(_ title: String) -> Column { Column(title, .trailing) }
    }

    package struct Cell: Hashable, Sendable, ExpressibleByStringInterpolation {
        /// The text, without line breaks.
        package var text: String
        package var ink: Ink

        /// Makes a cell. Control characters in `text` become `?`.
        package init(_ text: String, ink: Ink = .plain) {
            self.text = Terminal.safe(text)
            self.ink = ink
        }

        package init(stringLiteral value: String) { self.init(value) }
    }

    package let columns: [Column]
    /// The rows, each with at most one cell per column.
    package private(set) var rows: [[Cell]] = []

    package init(columns: [Column]) { self.columns = columns }

    /// Adds a row; missing cells are empty, cells past the last column are dropped.
    package mutating func append(_ cells: [Cell]) {
        rows.append(Array(cells.prefix(columns.count)))
    }

    /// The table as lines without line ends: the headings, if there are any, and the rows.
    ///
    /// - Parameters:
    ///   - width: the most terminal columns of a line; `nil` for no limit.
    ///   - overflow: what happens to a last column that is too wide.
    ///   - colour: whether ANSI colours are used.
    package func lines(
        width: Int? = nil, overflow: Overflow = .cut, colour: Bool = false
    ) -> [String] {
        let widths = columnWidths()
        let before = widths.dropLast().reduce(0) { $0 + $1 + 2 }
        let lastWidth = min(widths.last ?? 0, width.map { max(8, $0 - before) } ?? .max)
        var lines: [StyledLine] = []
        if columns.contains(where: { !$0.title.isEmpty }) {
            let titles = columns.map { Cell($0.title, ink: .dim) }
            lines += styled(titles, widths, lastWidth, overflow)
        }
        for row in rows { lines += styled(row, widths, lastWidth, overflow) }
        return lines.map { $0.text(limit: width, colour: colour) }
    }

    private func columnWidths() -> [Int] {
        var widths = columns.map { displayWidth(of: $0.title) }
        for row in rows {
            for (index, cell) in row.enumerated() {
                widths[index] = max(widths[index], displayWidth(of: cell.text))
            }
        }
        return widths
    }

    private func styled(
        _ row: [Cell], _ widths: [Int], _ lastWidth: Int, _ overflow: Overflow
    ) -> [StyledLine] {
        var line = StyledLine()
        var column = 0
        var more: [StyledLine] = []
        for (index, cell) in row.enumerated() {
            line.pad(to: column)
            if index == columns.count - 1 {
                let parts =
                    overflow == .wrap
                    ? wrapped(cell.text, to: lastWidth) : [cut(cell.text, to: lastWidth)]
                let aligned = parts.map {
                    padded($0, to: lastWidth, alignment: columns[index].alignment)
                }
                line.append(aligned.first ?? "", cell.ink)
                more = aligned.dropFirst().map { part in
                    var next = StyledLine()
                    next.pad(to: column)
                    next.append(part, cell.ink)
                    return next
                }
            } else {
                let alignment = columns[index].alignment
                line.append(padded(cell.text, to: widths[index], alignment: alignment), cell.ink)
                column += widths[index] + 2
            }
        }
        return [line] + more
    }
}

/// `text` in lines of at most `width` columns, broken at spaces if possible.
func wrapped(_ text: String, to width: Int) -> [String] {
    var lines: [String] = []
    var line = ""
    var used = 0
    func close() {
        if !line.isEmpty { lines.append(line.droppingTrailingSpaces) }
        (line, used) = ("", 0)
    }
    for word in text.split(separator: " ") {
        let size = displayWidth(of: String(word))
        if used > 0, used + size > width { close() }
        for character in word {
            let columns = displayWidth(of: character)
            if used + columns > width { close() }
            line.append(character)
            used += columns
        }
        line.append(" ")
        used += 1
    }
    close()
    return lines
}
