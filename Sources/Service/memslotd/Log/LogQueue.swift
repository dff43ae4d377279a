import Glibc
import Memslots

/// Lines on their way to standard error.
///
/// A thread of its own writes them: whoever reads the log and stops must not hold up a commit.
/// Beyond a bound lines are lost, and their number is told.
final class LogQueue: Sendable {
    private struct State {
        var text: [UInt8] = []
        var lost = 0
        var hasThread = false
        var isWriting = false
    }

    private let state = Locked(State())
    private static let byteLimit = 1 << 20

    /// The queue of this process.
    static let standardError = LogQueue()

    /// Puts a line in, with its end.
    func put(_ line: String) {
        let needsThread = state.withLock { state in
            guard state.text.count + line.utf8.count <= Self.byteLimit else {
                state.lost += 1
                return false
            }
            state.text.append(contentsOf: line.utf8)
            defer { state.hasThread = true }
            return !state.hasThread
        }
        guard needsThread else { return }
        if !startThread() { writeAll() }
    }

    /// Waits until all is written, but not for long.
    func flush() {
        for _ in 0..<100 {
            let isEmpty = state.withLock { $0.text.isEmpty && !$0.isWriting }
            if isEmpty { return }
            usleep(2_000)
        }
    }

    /// Writes what there is, until there is nothing.
    ///
    /// The thread ends then: the next line starts another. Lines come in bursts, so that this is
    /// no more dear than to wait.
    private func writeAll() {
        while let text = take() {
            text.withUnsafeBytes { bytes in
                var rest = UnsafeRawBufferPointer(rebasing: bytes[...])
                while !rest.isEmpty {
                    let count = write(STDERR_FILENO, rest.baseAddress, rest.count)
                    if count < 0 && errno == EINTR { continue }
                    if count <= 0 { return }
                    rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                }
            }
        }
    }

    private func take() -> [UInt8]? {
        state.withLock { state in
            if state.lost > 0 {
                state.text.append(contentsOf: "(\(state.lost) lines of the log were lost)\n".utf8)
                state.lost = 0
            }
            state.isWriting = !state.text.isEmpty
            guard state.isWriting else {
                state.hasThread = false
                return nil
            }
            defer { state.text = [] }
            return state.text
        }
    }

    private func startThread() -> Bool {
        do throws(Errno) {
            try OwnThread { self.writeAll() }.detach()
            return true
        } catch {
            return false
        }
    }
}
