/// A table of text in columns as wide as their widest cells; the last is broken to fit a width.
package struct TextTable: Sendable {
    package enum Alignment: Hashable, Sendable {
        case leading
        case trailing
    }

    package struct Column: Hashable, Sendable, ExpressibleByStringLiteral {
        package var title: String
        package var alignment: Alignment

        package init(_ title: String, _ alignment: Alignment = .leading) {
            (self.title, self.alignment) = (title, alignment)
        }

        package init(stringLiteral title: String) { self.init(title) }

        package static func numbers(_ title: String) -> Column { Column(title, .trailing) }
    }

    package struct Cell: Hashable, Sendable, ExpressibleByStringInterpolation {
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

    /// Adds a row, without cells that are `nil` and those past the last column.
    package mutating func append(_ cells: [Cell?]) {
        rows.append(Array(cells.compactMap(\.self).prefix(columns.count)))
    }

    /// The table as lines without line ends; wider than `width` if the columns before the last are.
    package func lines(width: Int? = nil, colour: Bool = false) -> [String] {
        let widths = columnWidths()
        let before = widths.dropLast().reduce(0) { $0 + $1 + 2 }
        let lastWidth = min(widths.last ?? 0, width.map { max(12, $0 - before) } ?? .max)
        let titles = columns.map { Cell($0.title, ink: .dim) }
        let heading = titles.contains { !$0.text.isEmpty } ? [titles] : []
        return (heading + rows).flatMap { styled($0, widths, lastWidth) }
            .map { $0.text(limit: nil, colour: colour) }
    }

    private func columnWidths() -> [Int] {
        columns.indices.map { index in
            rows.reduce(displayWidth(of: columns[index].title)) { width, row in
                index < row.count ? max(width, displayWidth(of: row[index].text)) : width
            }
        }
    }

    private func styled(_ row: [Cell], _ widths: [Int], _ lastWidth: Int) -> [StyledLine] {
        var lines = [StyledLine()]
        var column = 0
        for (index, cell) in row.enumerated() {
            let isLast = index == columns.count - 1
            let width = isLast ? lastWidth : widths[index]
            let parts = isLast ? wrapped(cell.text, to: width) : [cell.text]
            for (place, part) in parts.enumerated() {
                if place == lines.count { lines.append(StyledLine()) }
                let text = padded(part, to: width, alignment: columns[index].alignment)
                lines[place].pad(to: column)
                lines[place].append(text, cell.ink)
            }
            column += width + 2
        }
        return lines
    }
}

/// `text` in lines of at most `width` columns, but those after the first of `indent` less: broken at
/// a space past its first `indent` columns, or where it has none, within a word.
func wrapped(_ text: String, to width: Int, indent: Int = 0) -> [String] {
    var lines: [String] = []
    var rest = text[...]
    var limit = max(1, width)
    while displayWidth(of: String(rest)) > limit {
        var (used, end, space) = (0, rest.startIndex, rest.startIndex)
        while end < rest.endIndex, used == 0 || used + displayWidth(of: rest[end]) <= limit {
            used += displayWidth(of: rest[end])
            if rest[end] == " ", end > rest.index(rest.startIndex, offsetBy: indent) { space = end }
            end = rest.index(after: end)
        }
        let isBetween = rest[end...].first == " " || space == rest.startIndex
        lines.append(String(rest[..<(isBetween ? end : space)]))
        rest = rest[(isBetween ? end : space)...].drop { $0 == " " }
        limit = max(min(12, width), width - indent)
    }
    return lines + [String(rest)]
}

/// `line` continued on further lines, indented by two columns more, if it is wider than `width`.
/// Pictures and coloured lines are fitted when they are drawn, and stay as they are.
func folded(_ line: String, to width: Int?) -> String {
    guard let width, displayWidth(of: line) > width, !line.utf8.contains(0x1b) else { return line }
    let indent = line.prefix { $0 == " " }.count + 2
    return wrapped(line, to: max(12, width), indent: indent)
        .joined(separator: "\n" + String(repeating: " ", count: indent))
}
