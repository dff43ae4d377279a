/// A time at the start of a line of strace's log.
struct TraceStamp: Hashable {
    enum Kind {
        /// `-ttt`: since 1970.
        case unix
        /// `-t`, `-tt`: since midnight.
        case timeOfDay
        /// `-r`: since the line before; or `-ttt` with another origin.
        case small
    }

    var kind: Kind
    var nanoseconds: UInt64
    /// Whether it has no fraction of a second.
    var isCoarse = false

    /// Reads a time, if one is next.
    static func read(_ scanner: inout ByteScanner) -> TraceStamp? {
        var ahead = scanner
        guard let first = ahead.decimal(), first < 1 << 33 else { return nil }
        var seconds = first
        var isTimeOfDay = false
        if ahead.skip(":") {
            guard let minutes = ahead.decimal(), minutes < 60, ahead.skip(":"),
                let second = ahead.decimal(), second < 61, first < 24
            else { return nil }
            seconds = first * 3600 + minutes * 60 + second
            isTimeOfDay = true
        }
        // Process ids and pauses are smaller than dates.
        let isDate = !isTimeOfDay && seconds >= 100_000_000
        let fraction = fraction(&ahead)
        guard fraction != nil || isTimeOfDay || isDate, ahead.next == UInt8(ascii: " ") else {
            return nil
        }
        scanner = ahead
        return TraceStamp(
            kind: isTimeOfDay ? .timeOfDay : isDate ? .unix : .small,
            nanoseconds: seconds * 1_000_000_000 + (fraction ?? 0), isCoarse: fraction == nil)
    }

    static func fraction(_ scanner: inout ByteScanner) -> UInt64? {
        guard scanner.next == UInt8(ascii: "."), scanner.byte(ahead: 1).decimalDigit != nil else {
            return nil
        }
        scanner.advance()
        var nanoseconds: UInt64 = 0
        var unit: UInt64 = 100_000_000
        while let digit = scanner.next.decimalDigit {
            nanoseconds += digit * unit
            unit /= 10
            scanner.advance()
        }
        return nanoseconds
    }
}

/// Converts the stamps of a log, line by line, to one scale of nanoseconds.
struct TraceClock {
    private var day: UInt64 = 0
    private var latest: UInt64 = 0
    /// Whether a small stamp is the time since the previous line, as `strace -r` prints it: its
    /// first stamp is 0, and later ones rise and fall. `nil` before the first stamp.
    private var countsFromPrevious: Bool?

    /// The time of `stamp` in nanoseconds. Requires the stamps of all lines, in order.
    mutating func moment(of stamp: TraceStamp) -> UInt64 {
        let dayLength: UInt64 = 86_400_000_000_000
        let nanoseconds = stamp.nanoseconds
        switch stamp.kind {
        case .unix: latest = nanoseconds
        case .timeOfDay:
            // More than half a day back: midnight has passed.
            if day &+ nanoseconds &+ dayLength / 2 < latest { day &+= dayLength }
            latest = day &+ nanoseconds
        case .small:
            let relative = countsFromPrevious ?? (nanoseconds == 0) || nanoseconds < latest
            countsFromPrevious = relative
            latest = relative ? latest &+ nanoseconds : nanoseconds
        }
        return latest
    }
}
