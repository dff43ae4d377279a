/// A line of text in pieces, each with its ink.
struct StyledLine {
    private var pieces: [(text: String, ink: Ink)] = []
    private(set) var width = 0

    /// Adds `text` at the end.
    mutating func append(_ text: String, _ ink: Ink = .plain) {
        pieces.append((text, ink))
        width += displayWidth(of: text)
    }

    /// Adds spaces up to `column`.
    mutating func pad(to column: Int) {
        if column > width { append(String(repeating: " ", count: column - width)) }
    }

    /// The text: without spaces at its end, cut to `limit` columns, with ANSI colours if asked.
    func text(limit: Int?, colour: Bool, ellipsis: String = "…") -> String {
        var pieces = pieces
        if let limit, width > limit { pieces = cutPieces(to: limit, ellipsis) }
        while let last = pieces.last {
            let kept = last.text.droppingTrailingSpaces
            guard kept.isEmpty else {
                pieces[pieces.count - 1].text = kept
                break
            }
            pieces.removeLast()
        }
        return pieces.map { colour ? $0.ink.painting($0.text) : $0.text }.joined()
    }

    private func cutPieces(to limit: Int, _ ellipsis: String) -> [(text: String, ink: Ink)] {
        var kept: [(text: String, ink: Ink)] = []
        var used = 0
        for piece in pieces {
            let size = displayWidth(of: piece.text)
            // A piece that ends just at the limit is cut too, if something follows it.
            if used + size >= limit {
                let tail = used + size > limit ? piece.text : piece.text + ellipsis
                kept.append((cut(tail, to: limit - used, ellipsis: ellipsis), piece.ink))
                break
            }
            kept.append(piece)
            used += size
        }
        return kept
    }
}

extension String {
    /// The text without spaces at its end.
    var droppingTrailingSpaces: String {
        guard let last = lastIndex(where: { $0 != " " }) else { return "" }
        return String(self[...last])
    }
}
