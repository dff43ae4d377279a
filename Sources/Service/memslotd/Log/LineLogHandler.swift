import Glibc
import Logging

/// Writes one line an event: time, level, sentence, and `name=value` for each of its figures.
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

    /// Coordinated universal time, as RFC 3339 has it.
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

    /// A value is quoted where it could be taken for more than one, so that no name of a peer can
    /// forge a line.
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
