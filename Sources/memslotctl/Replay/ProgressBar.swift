import Glibc

/// How far a long file has been read, on standard error where that is a terminal.
struct ProgressBar {
    private let total: Int
    private let isShown: Bool
    private var lastPercent = -1

    /// Files below this many bytes are done before a bar could be read.
    private static let shortest = 1 << 20

    /// - Parameters:
    ///   - total: what is 100 %; `nil` where that is not known, and no bar is shown.
    ///   - isLong: whether it takes long, whatever the total; by default where that is large.
    init(total: Int?, isLong: Bool? = nil) {
        self.total = max(1, total ?? 1)
        let isLong = isLong ?? (self.total >= Self.shortest)
        isShown = isLong && Terminal.isTerminal(STDERR_FILENO)
    }

    mutating func show(_ position: Int) {
        guard isShown else { return }
        let percent = min(100, position * 100 / total)
        guard percent != lastPercent else { return }
        lastPercent = percent
        let done = String(repeating: "█", count: percent * 30 / 100)
        let left = String(repeating: "░", count: 30 - percent * 30 / 100)
        Terminal.writeError("\r\(done)\(left) \(percent) %")
    }

    /// Takes the bar away.
    func end() {
        if isShown && lastPercent >= 0 { Terminal.writeError("\r\u{1B}[K") }
    }
}
