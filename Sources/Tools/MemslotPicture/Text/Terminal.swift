// Preconcurrency: `stdout` is a variable that nothing here assigns.
@preconcurrency internal import Glibc
import Memslots

/// Output to the terminal, or to the file or pipe in its place.
package enum Terminal {
    package static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    /// The columns of a terminal; `nil` for files and pipes, whose lines stay whole.
    private static func columns(_ descriptor: Int32) -> Int? {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return Int(size.ws_col)
    }

    package enum Colour: String, Sendable, CaseIterable { case auto, always, never }

    /// What `--color` chose. Unsafe: only `main` sets it, before any output.
    nonisolated(unsafe) package static var colour = Colour.auto

    /// By `--color`, or if standard output is a terminal, not `dumb`, and `NO_COLOR` is not set.
    package static var usesColour: Bool {
        guard colour == .auto else { return colour == .always }
        let isDumb = getenv("TERM").map { String(cString: $0) == "dumb" } ?? false
        return isTerminal(STDOUT_FILENO) && !isDumb && getenv("NO_COLOR") == nil
    }

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

    package static func lines(_ table: TextTable) -> [String] {
        table.lines(width: columns(STDOUT_FILENO), colour: usesColour)
    }

    /// Writes bytes to standard output unchanged. ``flush()`` returns whether all went well.
    package static func write(_ bytes: [UInt8]) { fwrite(bytes, 1, bytes.count, stdout) }
    /// Writes all output that is still buffered; returns whether everything could be written.
    package static func flush() -> Bool { fflush(nil) == 0 && ferror(stdout) == 0 }

    /// Prints lines to standard error, after all earlier output, as ``print(_:)-([String])``.
    package static func complain(_ text: String) {
        let width = columns(STDERR_FILENO)
        writeError(lines(of: text).map { folded($0, to: width) + "\n" }.joined())
    }

    package static func writeError(_ text: String) {
        fflush(nil)
        try? writeAll(Array(text.utf8), to: STDERR_FILENO)
    }

    /// Foreign text with `?` for control characters and those that change the writing direction.
    package static func safe(_ text: String) -> String {
        let scalars = text.unicodeScalars.map { scalar -> Unicode.Scalar in
            switch scalar.value {
            case 0..<0x20, 0x7f..<0xa0, 0x200b...0x200f, 0x2028...0x202e, 0x2060...0x206f, 0xfeff:
                "?"
            default: scalar
            }
        }
        return String(String.UnicodeScalarView(scalars))
    }
}

package struct TextOptions: Hashable, Sendable {
    /// Terminal columns; no line is wider. Below 60 columns parts are omitted.
    package var width: Int
    package var usesColour: Bool
    /// The most rows of an address space before neighbours are folded, at least 8; `nil`: all.
    package var limit: Int?

    package init(width: Int = 100, usesColour: Bool = false, limit: Int? = 120) {
        (self.width, self.usesColour, self.limit) = (width, usesColour, limit)
    }
}

/// The progress of a long job, on standard error if that is a terminal.
package struct ProgressBar {
    private let total: Int
    private let isShown: Bool
    private var lastPercent = -1

    /// By default for the bytes of a file; `nil` is unknown and shows no bar, as a small total.
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
