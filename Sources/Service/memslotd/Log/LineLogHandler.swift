import ArgumentParser
import Glibc
import Logging
import MemslotProtocol
import MemslotService
import Memslots

/// Writes one line an event.
struct LineLogHandler: LogHandler {
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let details = metadata.merging(event.metadata ?? [:]) { _, new in new }
        let line = LogFormat.chosen.line(event.level, "\(event.message)", details)
        LogQueue.standardError.put(line)
    }
}

/// The form of a line of the log: level, message, and each item of metadata.
enum LogFormat: String, CaseIterable, ExpressibleByArgument {
    /// Time, level, message, and `name=value` for each item.
    case text
    /// An object with `time`, `level`, `message`, and a member for each item.
    case json
    /// As text, with the priority of sd-daemon(3) instead of the time and the level.
    case journal

    /// What `--log-format` chose. Unsafe: only the start sets it, before any line.
    nonisolated(unsafe) static var chosen = LogFormat.text

    func line(_ level: Logger.Level, _ message: String, _ metadata: Logger.Metadata) -> String {
        let details = metadata.sorted { $0.key < $1.key }
        if self == .json {
            var writer = JSONWriter()
            writer.object {
                $0.member("time", Self.timestamp())
                $0.member("level", level.rawValue)
                $0.member("message", message)
                for (name, value) in details {
                    $0.key(named: name)
                    $0.string("\(value)")
                }
            }
            writer.newLine()
            return String(decoding: writer.finish(), as: UTF8.self)
        }
        // The levels from trace to critical, as priorities of syslog(3).
        let priority = [7, 7, 6, 5, 4, 3, 2][Logger.Level.allCases.firstIndex(of: level) ?? 3]
        let start = self == .text ? "\(Self.timestamp()) \(level) " : "<\(priority)>"
        let items = details.map { " \($0.key)=\(Self.quoted("\($0.value)"))" }
        return start + message + items.joined() + "\n"
    }

    /// The time in UTC, in the format of RFC 3339.
    private static func timestamp() -> String {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        var date = tm()
        gmtime_r(&now.tv_sec, &date)
        var text = [CChar](repeating: 0, count: 32)
        strftime(&text, text.count, "%Y-%m-%dT%H:%M:%S", &date)
        let seconds = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self)
        return "\(seconds).\(String(now.tv_nsec / 1_000_000 + 1_000).dropFirst())Z"
    }

    /// Quotes a value that could be read as more than one, so that a peer's names can't forge a line.
    private static func quoted(_ value: String) -> String {
        let isPlain = value.unicodeScalars.allSatisfy {
            $0.value > 0x20 && $0 != "\"" && $0 != "=" && $0 != "\\" && $0.value != 0x7F
                && !$0.properties.isWhitespace
        }
        guard !isPlain || value.isEmpty else { return value }
        var text = "\""
        for scalar in value.unicodeScalars {
            switch scalar.value {
            case 0x22, 0x5C: text += "\\\(scalar)"
            case ..<0x20, 0x7F, 0x85, 0x2028, 0x2029:
                text += "\\u{\(String(scalar.value, radix: 16))}"
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text + "\""
    }
}

/// Lines for standard error, written by a thread, so that no commit waits for the log's reader.
/// Beyond 1 MiB lines are dropped, and their number is logged.
final class LogQueue: Sendable {
    private struct State {
        var text: [UInt8] = []
        var dropped = 0
        /// Whether a thread has lines to write.
        var hasThread = false
    }

    private let state = Locked(State())
    private static let byteLimit = 1 << 20

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
        if (try? OwnThread { self.writeQueue() }.detach()) == nil { writeQueue() }
    }

    /// Waits until all lines are written, for at most 200 ms.
    func flush() { state.wait(while: { $0.hasThread }, milliseconds: 200) }

    /// Writes until the queue is empty. The next line starts another thread: lines come in bursts,
    /// so this costs no more than a thread that waits.
    private func writeQueue() {
        // Nobody could be notified of a failure.
        while let text = removeAll() { try? writeAll(text, to: STDERR_FILENO) }
    }

    private func removeAll() -> [UInt8]? {
        state.change { state in
            if state.dropped > 0 {
                let count: Logger.Metadata = ["count": "\(state.dropped)"]
                let line = LogFormat.chosen.line(.warning, "lines of the log were dropped", count)
                state.text.append(contentsOf: line.utf8)
                state.dropped = 0
            }
            guard !state.text.isEmpty else {
                state.hasThread = false
                return nil
            }
            defer { state.text = [] }
            return state.text
        }
    }
}
