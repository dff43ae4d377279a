/// The bar of a row, whose length says the size on a log scale.
struct SizeBar {
    /// What the bar stands for, which is its pattern.
    enum Kind {
        case memory
        case readOnly
        case hole
    }

    var kind: Kind
    var bytes: UInt64

    /// The bar, at most `width` columns.
    func text(width: Int, largest: UInt64, ascii: Bool) -> String {
        guard width > 0 else { return "" }
        let eighths = LogScale.part(bytes, of: largest, length: width * 8)
        let cells = (eighths + 4) / 8
        switch (kind, ascii) {
        case (.memory, false):
            let partial = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8]
            return String(repeating: "█", count: eighths / 8) + partial
        case (.memory, true): return String(repeating: "#", count: max(1, cells))
        case (.readOnly, false): return String(repeating: "▒", count: max(1, cells))
        case (.readOnly, true): return String(repeating: "=", count: max(1, cells))
        case (.hole, false): return String(repeating: "┄", count: max(1, cells))
        case (.hole, true): return String(repeating: ".", count: max(1, cells))
        }
    }
}
