import Glibc
import Logging
import Memslots

/// Writes one line an event: time, level, message, and `name=value` for each item of metadata.
struct LineLogHandler: LogHandler {
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]

    init(level: Logger.Level) { logLevel = level }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var line = Self.timestamp() + " \(event.level) \(event.message)"
        let own = event.metadata ?? [:]
        let all = metadata.isEmpty ? own : metadata.merging(own) { _, new in new }
        for (name, value) in all.sorted(by: { $0.key < $1.key }) {
            line += " \(name)=\(Self.quoted("\(value)"))"
        }
        LogQueue.standardError.put(line + "\n")
    }

    /// The time in UTC, in the format of RFC 3339.
    private static func timestamp() -> String {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        var date = tm()
        var seconds = now.tv_sec
        gmtime_r(&seconds, &date)
        return "\(date.tm_year + 1_900)-\(two(date.tm_mon + 1))-\(two(date.tm_mday))T"
            + "\(two(date.tm_hour)):\(two(date.tm_min)):\(two(date.tm_sec))."
            + "\(String(now.tv_nsec / 1_000_000 + 1_000).dropFirst())Z"
    }

    private static func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }

    /// Quotes a value that could be read as more than one, so that a peer's names can't forge a line.
    private static func quoted(_ value: String) -> String {
        let isPlain = value.unicodeScalars.allSatisfy {
            $0.value > 0x20 && $0 != "\"" && $0 != "=" && $0 != "\\" && $0.value != 0x7F
                && !$0.properties.isWhitespace
        }
        guard !isPlain || value.isEmpty else { return value }
        var text = "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"", "\\": text += "\\\(scalar)"
            case _
            where scalar.value < 0x20 || scalar.value == 0x7F || scalar.value == 0x85
                || scalar.value == 0x2028 || scalar.value == 0x2029:
                text += "\\u{\(String(scalar.value, radix: 16))}"
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text + "\""
    }
}

/// Lines that wait to be written to standard error.
///
/// A separate thread writes them, so that no commit waits for the log's reader. Beyond 1 MiB lines
/// are dropped, and their number is logged.
final class LogQueue: Sendable {
    private struct State {
        var text: [UInt8] = []
        var dropped = 0
        var hasThread = false
        var isWriting = false
    }

    private let state = Locked(State())
    private static let byteLimit = 1 << 20

    /// The queue of this process.
    static let standardError = LogQueue()

    /// Appends a line, with its end.
    func put(_ line: String) {
        let needsThread = state.withLock { state in
            guard state.text.count + line.utf8.count <= Self.byteLimit else {
                state.dropped += 1
                return false
            }
            state.text.append(contentsOf: line.utf8)
            defer { state.hasThread = true }
            return !state.hasThread
        }
        guard needsThread else { return }
        if !startThread() { writeAll() }
    }

    /// Waits until all lines are written, for at most 200 ms.
    func flush() {
        state.wait(while: { !$0.text.isEmpty || $0.isWriting }, milliseconds: 200)
    }

    /// Writes until the queue is empty.
    ///
    /// The thread ends then, and the next line starts another one. Lines come in bursts, so this
    /// costs no more than a thread that waits.
    private func writeAll() {
        while let text = removeAll() {
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

    private func removeAll() -> [UInt8]? {
        state.change { state in
            if state.dropped > 0 {
                state.text.append(
                    contentsOf: "(\(state.dropped) lines of the log were dropped)\n".utf8)
                state.dropped = 0
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
