internal import Glibc

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
