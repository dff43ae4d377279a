import Memslots

/// Numbers as a person reads them.
enum Units {
    /// Seconds with six digits after the point.
    static func seconds(_ nanoseconds: UInt64) -> String {
        let microseconds = nanoseconds / 1000
        return "\(microseconds / 1_000_000).\(padded(microseconds % 1_000_000, to: 6))"
    }

    /// `0 B`, `640 KiB`, `255.2 MiB`.
    static func bytes(_ count: ByteCount) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        var unit = 0
        var whole = count.rawValue
        var remainder: UInt64 = 0
        while whole >= 1024, unit + 1 < units.count {
            remainder = whole % 1024
            whole /= 1024
            unit += 1
        }
        let tenth = remainder * 10 / 1024
        return tenth == 0 ? "\(whole) \(units[unit])" : "\(whole).\(tenth) \(units[unit])"
    }

    /// `420 µs`, `7.1 ms`, `2.54 s`; `?` for a time that isn't known.
    static func duration(_ nanoseconds: UInt64?) -> String {
        guard let nanoseconds else { return "?" }
        let microseconds = nanoseconds / 1000
        switch microseconds {
        case ..<1000: return "\(microseconds) µs"
        case ..<1_000_000: return "\(microseconds / 1000).\(microseconds % 1000 / 100) ms"
        default:
            return "\(microseconds / 1_000_000)."
                + padded(microseconds % 1_000_000 / 10_000, to: 2) + " s"
        }
    }

    /// `1 call`, `2 calls`.
    static func count(_ number: Int, _ noun: String) -> String {
        number == 1 ? "1 \(noun)" : "\(number) \(noun)s"
    }

    private static func padded(_ number: UInt64, to width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
