/// A table of text in aligned columns, for a terminal.
///
/// Columns are two spaces apart and as wide as their widest cell. When the table is wider than its
/// limit, the last one continues on further lines, broken at spaces if possible.
package struct TextTable: Sendable {
    package enum Alignment: Hashable, Sendable {
        /// Left, for words.
        case leading
        /// Right, for numbers.
        case trailing
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

    /// Columns that are `nil` are left out.
    package init(columns: [Column?]) { self.columns = columns.compactMap(\.self) }

    /// Adds a row. Cells that are `nil` are left out; missing ones at the end are empty, those past
    /// the last column are dropped.
    package mutating func append(_ cells: [Cell?]) {
        rows.append(Array(cells.compactMap(\.self).prefix(columns.count)))
    }

    /// The table as lines without line ends: the headings, if there are any, and the rows.
    ///
    /// - Parameters:
    ///   - width: the most terminal columns of a line; `nil` for no limit. A line is wider if the
    ///     columns before the last one leave less than 12.
    ///   - colour: whether ANSI colours are used.
    package func lines(width: Int? = nil, colour: Bool = false) -> [String] {
        let widths = columnWidths()
        let before = widths.dropLast().reduce(0) { $0 + $1 + 2 }
        let lastWidth = min(widths.last ?? 0, width.map { max(12, $0 - before) } ?? .max)
        var lines: [StyledLine] = []
        if columns.contains(where: { !$0.title.isEmpty }) {
            let titles = columns.map { Cell($0.title, ink: .dim) }
            lines += styled(titles, widths, lastWidth)
        }
        for row in rows { lines += styled(row, widths, lastWidth) }
        return lines.map { $0.text(limit: nil, colour: colour) }
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

    private func styled(_ row: [Cell], _ widths: [Int], _ lastWidth: Int) -> [StyledLine] {
        var line = StyledLine()
        var column = 0
        var more: [StyledLine] = []
        for (index, cell) in row.enumerated() {
            line.pad(to: column)
            if index == columns.count - 1 {
                let aligned = wrapped(cell.text, to: lastWidth).map {
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

/// `line` continued on further lines, which are indented by two columns more, if it is wider than
/// `width`. Pictures and coloured lines are fitted when they are drawn, and stay as they are.
func folded(_ line: String, to width: Int?) -> String {
    guard let width, displayWidth(of: line) > width, !line.utf8.contains(0x1b) else { return line }
    let indent = line.prefix { $0 == " " }.count + 2
    var lines: [Substring] = []
    var rest = line[...]
    var limit = max(12, width)
    while displayWidth(of: String(rest)) > limit {
        var (used, end, space) = (0, rest.startIndex, rest.startIndex)
        while used + displayWidth(of: rest[end]) <= limit {
            used += displayWidth(of: rest[end])
            if rest[end] == " ", end > rest.index(rest.startIndex, offsetBy: indent) { space = end }
            end = rest.index(after: end)
        }
        // A word longer than the line is broken.
        let edge = rest[end] == " " || space == rest.startIndex ? end : space
        lines.append(rest[..<edge])
        rest = rest[edge...].drop { $0 == " " }
        limit = max(12, width - indent)
    }
    lines.append(rest)
    return lines.map(String.init).joined(separator: "\n" + String(repeating: " ", count: indent))
}
