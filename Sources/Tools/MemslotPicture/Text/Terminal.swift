// Preconcurrency: `stdout` is a variable that nothing here assigns.
@preconcurrency internal import Glibc

/// Output to the terminal, or to the file or pipe in its place.
package enum Terminal {
    package static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    /// The columns of a terminal; `nil` if the descriptor is not one, so that lines in files and
    /// pipes stay whole.
    private static func columns(_ descriptor: Int32) -> Int? {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return Int(size.ws_col)
    }

    /// Whether output is coloured.
    package enum Colour: String, Sendable, CaseIterable { case auto, always, never }

    /// What `--color` chose. Unsafe: only `main` sets it, before any output.
    nonisolated(unsafe) package static var colour = Colour.auto

    /// Whether standard output may be coloured: by `--color`, or if it is a terminal other than
    /// `dumb`, and `NO_COLOR` is not set.
    package static var usesColour: Bool {
        guard colour == .auto else { return colour == .always }
        let isDumb = getenv("TERM").map { String(cString: $0) == "dumb" } ?? false
        return isTerminal(STDOUT_FILENO) && !isDumb && getenv("NO_COLOR") == nil
    }

    /// The options of pictures for standard output.
    package static var textOptions: TextOptions {
        TextOptions(width: columns(STDOUT_FILENO) ?? 100, usesColour: usesColour)
    }

    /// Prints lines; on a terminal those that are too wide are continued on further lines.
    package static func print(_ lines: [String]) {
        let width = columns(STDOUT_FILENO)
        for line in lines { Swift.print(folded(line, to: width)) }
    }

    /// Prints text, which may have several lines and may end in a line end.
    package static func print(_ text: String) { print(lines(of: text)) }

    private static func lines(of text: String) -> [String] {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        return text.last == "\n" ? lines.dropLast() : lines
    }

    /// The lines of `table`, fitted to standard output.
    package static func lines(_ table: TextTable) -> [String] {
        table.lines(width: columns(STDOUT_FILENO), colour: usesColour)
    }

    /// Writes bytes to standard output unchanged.
    ///
    /// A failure sets the stream's error indicator, which ``flush()`` returns.
    package static func write(_ bytes: [UInt8]) { fwrite(bytes, 1, bytes.count, stdout) }

    /// Writes all output that is still buffered.
    ///
    /// - Returns: whether everything that was printed could be written.
    package static func flush() -> Bool { fflush(nil) == 0 && ferror(stdout) == 0 }

    /// Prints lines to standard error, after all earlier output; on a terminal those that are too
    /// wide are continued on further lines.
    package static func complain(_ text: String) {
        let width = columns(STDERR_FILENO)
        writeError(lines(of: text).map { folded($0, to: width) + "\n" }.joined())
    }

    /// Writes text to standard error unchanged.
    package static func writeError(_ text: String) {
        fflush(nil)
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count)
            }
            if count < 0 && errno != EINTR { return }
            rest = rest.dropFirst(max(0, count))
        }
    }

    /// Text of a file or a peer with `?` for control characters and for those that change the
    /// writing direction, so that it cannot control the terminal.
    package static func safe(_ text: String) -> String {
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
}

/// The options of a picture in a terminal.
package struct TextOptions: Hashable, Sendable {
    /// Terminal columns; no line is wider. Below 60 columns parts are omitted.
    package var width: Int
    package var usesColour: Bool
    /// The most rows for slots and holes of one address space; beyond it neighbours are folded. At
    /// least 8; `nil` shows every slot.
    package var limit: Int?

    /// By default 100 columns, no colour, and folding beyond 120 rows.
    package init(width: Int = 100, usesColour: Bool = false, limit: Int? = 120) {
        self.width = width
        self.usesColour = usesColour
        self.limit = limit
    }
}

/// The progress of a long job, on standard error if that is a terminal.
package struct ProgressBar {
    private let total: Int
    private let isShown: Bool
    private var lastPercent = -1

    /// - Parameters:
    ///   - total: what is 100 %; `nil` if unknown, and no bar is shown.
    ///   - shortest: the smallest total for which a bar is shown; by default bytes of a file.
    package init(total: Int?, shortest: Int = 1 << 20) {
        self.total = max(1, total ?? 1)
        isShown = self.total >= shortest && Terminal.isTerminal(STDERR_FILENO)
    }

    package mutating func show(_ position: Int) {
        guard isShown else { return }
        let percent = min(100, position * 100 / total)
        guard percent != lastPercent else { return }
        lastPercent = percent
        let done = String(repeating: "█", count: percent * 30 / 100)
        let left = String(repeating: "░", count: 30 - percent * 30 / 100)
        Terminal.writeError("\r\(done)\(left) \(percent) %")
    }

    package func end() { if isShown && lastPercent >= 0 { Terminal.writeError("\r\u{1B}[K") } }
}
