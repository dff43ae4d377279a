import Glibc

/// What is known of where output goes.
package enum Terminal {
    /// Whether `descriptor` is a terminal.
    package static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    /// Columns of standard output; 100 where it is no terminal.
    package static var width: Int {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else {
            return 100
        }
        return Int(size.ws_col)
    }

    /// Whether standard output may be coloured: a terminal, and `NO_COLOR` is not set.
    package static var usesColour: Bool { isTerminal(STDOUT_FILENO) && getenv("NO_COLOR") == nil }

    /// How pictures are to look here.
    package static var textOptions: TextOptions {
        TextOptions(width: width, usesColour: usesColour)
    }

    /// Writes lines to standard output.
    package static func print(_ lines: [String]) {
        for line in lines { Swift.print(line) }
    }

    /// Writes bytes of text to standard output as they are.
    package static func write(_ bytes: [UInt8]) {
        Swift.print(String(decoding: bytes, as: UTF8.self), terminator: "")
    }

    /// Writes a line to standard error, after what was printed before it.
    package static func complain(_ line: String) { writeError(line + "\n") }

    /// Writes text to standard error as it is.
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

    /// Text of a file or a peer, so that it can't steer the terminal.
    package static func safe(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            let isControl = scalar.properties.generalCategory == .control
            result.unicodeScalars.append(isControl ? "?" : scalar)
        }
        return result
    }
}

/// How a picture is drawn in a terminal.
package struct TextOptions: Hashable, Sendable {
    /// Terminal columns; no line is wider. Below 60 columns parts are left out.
    package var width: Int
    /// Whether ANSI colours are used.
    package var usesColour: Bool
    /// Whether to keep to ASCII, for terminals and logs without Unicode.
    package var usesASCII: Bool
    /// The most rows for slots and holes of one address space, past which neighbours are
    /// folded; at least 8. `nil` shows every slot.
    package var limit: Int?

    /// Draws 100 columns wide, in Unicode, without colour, folding past 120 rows.
    package init(
        width: Int = 100, usesColour: Bool = false, usesASCII: Bool = false, limit: Int? = 120
    ) {
        self.width = width
        self.usesColour = usesColour
        self.usesASCII = usesASCII
        self.limit = limit
    }

    var ellipsis: String { usesASCII ? "..." : "…" }
    var dash: String { usesASCII ? "-" : "–" }
}

/// How far a long file has been read, or another long job is done, on standard error where that
/// is a terminal.
package struct ProgressBar {
    private let total: Int
    private let isShown: Bool
    private var lastPercent = -1

    /// - Parameters:
    ///   - total: what is 100 %; `nil` where that is not known, and no bar is shown.
    ///   - shortest: below this total no bar is shown either; by default bytes of a file.
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

    /// Takes the bar away.
    package func end() {
        if isShown && lastPercent >= 0 { Terminal.writeError("\r\u{1B}[K") }
    }
}
