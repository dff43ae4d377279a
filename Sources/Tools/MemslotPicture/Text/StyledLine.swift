struct StyledLine {
    private var pieces: [(text: String, ink: Ink)] = []
    private(set) var width = 0

    mutating func append(_ text: String, _ ink: Ink = .plain) {
        pieces.append((text, ink))
        width += displayWidth(of: text)
    }

    mutating func pad(to column: Int) {
        if column > width { append(String(repeating: " ", count: column - width)) }
    }

    /// The text without trailing spaces, cut to `limit` columns, with ANSI colours if `colour`.
    func text(limit: Int?, colour: Bool) -> String {
        var pieces = pieces
        if let limit, width > limit { pieces = cutPieces(to: limit) }
        while let last = pieces.last?.text, last.isEmpty || last.hasSuffix(" ") {
            if pieces[pieces.count - 1].text.popLast() == nil { pieces.removeLast() }
        }
        return pieces.map { colour ? $0.ink.painting($0.text) : $0.text }.joined()
    }

    private func cutPieces(to limit: Int) -> [(text: String, ink: Ink)] {
        var kept: [(text: String, ink: Ink)] = []
        var used = 0
        for piece in pieces {
            let size = displayWidth(of: piece.text)
            // A piece that ends exactly at the limit is cut too if another follows.
            if used + size >= limit {
                let tail = used + size > limit ? piece.text : piece.text + "…"
                return kept + [(cut(tail, to: limit - used), piece.ink)]
            }
            kept.append(piece)
            used += size
        }
        return kept
    }
}

/// The colour of a piece of text in a terminal, as in the ANSI sequences (SGR).
package enum Ink: String, Hashable, Sendable {
    case plain = ""
    case dim = "2"
    case bold = "1"
    /// What is added.
    case green = "32"
    /// What is removed, or wrong.
    case red = "31"
    /// What moved.
    case blue = "94"
    /// Read-only memory.
    case yellow = "33"
    /// Logged memory, and flags that changed.
    case magenta = "35"
    /// Ordinary memory.
    case cyan = "36"

    package func painting(_ text: String) -> String {
        self == .plain || text.isEmpty ? text : "\u{1b}[\(rawValue)m\(text)\u{1b}[0m"
    }
}

/// The terminal columns of a character: 2 for East Asian wide characters and emoji.
func displayWidth(of character: Character) -> Int {
    guard let value = character.unicodeScalars.first?.value, value >= 0x1100 else { return 1 }
    switch value {
    case 0x1100...0x115f, 0x2e80...0xa4cf, 0xac00...0xd7a3, 0xf900...0xfaff, 0xfe30...0xfe6f,
        0xff00...0xff60, 0xffe0...0xffe6, 0x1_f300...0x1_faff, 0x2_0000...0x3_fffd:
        return 2
    default: return 1
    }
}

func displayWidth(of text: String) -> Int { text.reduce(0) { $0 + displayWidth(of: $1) } }

/// `text` cut to `width` columns, with `…` at the end if it was longer.
func cut(_ text: String, to width: Int) -> String {
    guard text.utf8.count > width, displayWidth(of: text) > width else { return text }
    return width > 0 ? cut(text, to: width - 1, measuredBy: displayWidth(of:)) : ""
}

/// The first characters of `text` whose widths sum up to at most `room`, and `…`.
func cut(_ text: String, to room: Int, measuredBy width: (Character) -> Int) -> String {
    var left = room
    return text.prefix { character in
        left -= width(character)
        return left >= 0
    } + "…"
}

func padded(_ text: String, to width: Int, alignment: TextTable.Alignment = .leading) -> String {
    let fill = String(repeating: " ", count: max(0, width - displayWidth(of: text)))
    return alignment == .leading ? text + fill : fill + text
}
