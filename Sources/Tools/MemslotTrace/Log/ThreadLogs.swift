package import MemslotScenario

/// The files of `strace -ff`, one for each thread, as one log in the order of time.
package struct ThreadLogs {
    private var lines: [(time: UInt64, bytes: [UInt8])] = []
    private var size = 0

    /// The most bytes of all files: 256 MiB, because they are sorted in memory.
    private static let limit = 256 << 20

    package init() {}

    /// The name before the thread's number, and the number, of a file of `strace -ff`: `log.4711`.
    package static func parts(of path: String) -> (base: String, thread: UInt32)? {
        guard let dot = path.lastIndex(of: "."), dot != path.startIndex,
            let thread = UInt32(path[path.index(after: dot)...])
        else { return nil }
        return (String(path[..<dot]), thread)
    }

    /// Adds a file. Throws if its lines have no times, or the files are too large.
    package mutating func add(_ bytes: [UInt8], of thread: UInt32) throws(UnusableInput) {
        size += bytes.count
        guard size <= Self.limit else {
            throw UnusableInput(
                message: "the files of strace -ff are read up to \(Self.limit) bytes in all")
        }
        var clock = TraceClock()
        var time: UInt64?
        for text in bytes.split(separator: 0x0a) {
            // Times since the line before, of -r, are not those of other files.
            if let stamp = StraceLine(text).stamp, stamp.kind != .small {
                time = clock.moment(of: stamp)
            }
            // A line without a time follows the one before it.
            lines.append((time ?? 0, Array("\(thread) ".utf8) + text))
        }
        guard time != nil || bytes.isEmpty else {
            throw UnusableInput(
                message: "expected times, by which the files of strace -ff are put in order: "
                    + "record with -ttt")
        }
    }

    /// The log: the lines of each thread in their order, with the thread's number.
    package consuming func merged() -> [UInt8] {
        let order = lines.indices.sorted { (lines[$0].time, $0) < (lines[$1].time, $1) }
        var log: [UInt8] = []
        log.reserveCapacity(size + 8 * lines.count)
        for index in order {
            log += lines[index].bytes
            log.append(0x0a)
        }
        return log
    }
}
