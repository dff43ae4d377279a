/// The colour of a piece of text in a terminal.
package enum Ink: Hashable, Sendable {
    /// As the terminal has it.
    case plain
    /// Fainter.
    case dim
    /// Heavier.
    case bold
    /// Green: what is added.
    case green
    /// Red: what is removed, or wrong.
    case red
    /// Blue: what moved.
    case blue
    /// Yellow: read-only memory.
    case yellow
    /// Magenta: logged memory, and flags that changed.
    case magenta
    /// Cyan: ordinary memory.
    case cyan

    /// `text` within the ANSI sequences (SGR) that give it this ink; as it is if `.plain`.
    package func painting(_ text: String) -> String {
        let code =
            switch self {
            case .plain: ""
            case .dim: "2"
            case .bold: "1"
            case .green: "32"
            case .red: "31"
            case .blue: "94"
            case .yellow: "33"
            case .magenta: "35"
            case .cyan: "36"
            }
        return code.isEmpty || text.isEmpty ? text : "\u{1b}[\(code)m\(text)\u{1b}[0m"
    }
}
