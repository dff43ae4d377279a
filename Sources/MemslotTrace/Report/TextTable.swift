/// Rows of text under headings, each column as wide as its widest cell.
struct TextTable {
    enum Side {
        case left
        case right
    }

    struct Column {
        var title: String
        var side: Side

        init(_ title: String, _ side: Side = .left) {
            self.title = title
            self.side = side
        }
    }

    private let columns: [Column]
    private var rows: [[String]] = []
    private var hidden: Set<String> = []

    init(columns: [Column]) {
        self.columns = columns
    }

    mutating func hide(_ title: String) {
        hidden.insert(title)
    }

    mutating func add(_ row: [String]) {
        rows.append(row)
    }

    /// The table, each line ended by a newline and without blanks before it.
    var text: String {
        let all = [columns.map(\.title)] + rows
        let widths = columns.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            var line = ""
            for (index, column) in columns.enumerated() where !hidden.contains(column.title) {
                let cell = row[index]
                let blanks = String(repeating: " ", count: widths[index] - cell.count)
                if !line.isEmpty { line += "  " }
                line += column.side == .left ? cell + blanks : blanks + cell
            }
            while line.last == " " { line.removeLast() }
            return line + "\n"
        }.joined()
    }
}
