/// How many terminal columns a character takes: 2 for East Asian wide ones and emoji.
func displayWidth(of character: Character) -> Int {
    guard let value = character.unicodeScalars.first?.value, value >= 0x1100 else { return 1 }
    let isWide =
        switch value {
        case 0x1100...0x115f, 0x2e80...0xa4cf, 0xac00...0xd7a3, 0xf900...0xfaff,
            0xfe30...0xfe6f, 0xff00...0xff60, 0xffe0...0xffe6, 0x1_f300...0x1_faff,
            0x2_0000...0x3_fffd:
            true
        default: false
        }
    return isWide ? 2 : 1
}

/// How many terminal columns a text takes.
func displayWidth(of text: String) -> Int { text.reduce(0) { $0 + displayWidth(of: $1) } }

/// The text without what could command a terminal: control characters, and those that turn the
/// direction of writing, become `?`. Names of memory come from strangers.
func printable(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
        switch scalar.value {
        case 0..<0x20, 0x7f..<0xa0, 0x200b...0x200f, 0x2028...0x202e, 0x2060...0x206f, 0xfeff:
            result.append("?")
        default: result.append(scalar)
        }
    }
    return String(result)
}

/// As much of `text` as `width` columns hold, with `ellipsis` at the end if that isn't all.
func cut(_ text: String, to width: Int, ellipsis: String = "…") -> String {
    guard text.utf8.count > width, displayWidth(of: text) > width else { return text }
    let room = width - displayWidth(of: ellipsis)
    guard room >= 0 else { return String(repeating: ".", count: max(0, width)) }
    var (result, used) = ("", 0)
    for character in text {
        used += displayWidth(of: character)
        guard used <= room else { break }
        result.append(character)
    }
    return result + ellipsis
}

/// `text`, filled up with spaces to `width` columns, at its end or before it.
func padded(_ text: String, to width: Int, alignment: TextTable.Alignment = .leading) -> String {
    let fill = String(repeating: " ", count: max(0, width - displayWidth(of: text)))
    return alignment == .leading ? text + fill : fill + text
}
