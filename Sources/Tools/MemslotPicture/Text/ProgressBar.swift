internal import Glibc

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
