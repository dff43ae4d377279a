import CRunRecord
import Glibc
import Memslots

/// Reads records out of memory that programs are writing to, each once and in order.
///
/// A record's place is taken before its call is made. So when all that were begun are read, each
/// call to come ends after that moment: no clock of another process has to be trusted.
package struct RunRecordReader {
    private var follower: RunFollower
    private var next = 0
    private var waitingSince: TraceTime?
    private var processes = ProcessSight()
    private var isFull = false

    /// How long a record whose process can't be told is waited for, in nanoseconds.
    private static let patience: UInt64 = 2_000_000_000

    /// Feeds `follower`.
    package init(_ follower: RunFollower) { self.follower = follower }

    /// Reads what is new.
    ///
    /// - Parameters:
    ///   - bytes: the shared memory.
    ///   - isOver: whether all processes have ended: then what is open ends too.
    package mutating func read(
        _ bytes: UnsafeRawBufferPointer, isOver: Bool = false
    ) -> [RunNews] {
        guard let base = bytes.baseAddress, bytes.count >= MemoryLayout<crun_header>.size else {
            return []
        }
        // The time first: see above.
        let now = TraceTime.monotonic
        let header = base.assumingMemoryBound(to: crun_header.self)
        let records = (base + MemoryLayout<crun_header>.size)
            .assumingMemoryBound(to: crun_record.self)
        let room =
            (bytes.count - MemoryLayout<crun_header>.size) / MemoryLayout<crun_record>.stride
        let limit = min(room, Int(CRUN_RECORD_LIMIT))
        // A program may have written any number there.
        let begun = crun_next(header)
        let end = Int(min(begun, UInt64(limit)))
        var news: [RunNews] = []
        while next < end {
            let isOpen = crun_kind(records + next) == CRUN_NOTHING
            processes.note(records[next].process)
            if isOpen {
                if !isOver && mayStillCome(records[next].process, now) { return news }
            } else if let record = RunRecord(records[next], number: next + 1) {
                news += follower.take(record)
            }
            waitingSince = nil
            next += 1
        }
        if begun > UInt64(limit) && !isFull {
            // What comes now is lost: better no VMs than ones that aren't so any more.
            isFull = true
            news.append(.full(limit))
            return news + dropAll()
        }
        news += follower.look(at: now)
        if isOver { return news + dropAll() + follower.finish() }
        for process in follower.livingProcesses where processes.hasEnded(process) {
            // What it wrote last may have come since.
            guard crun_next(header) <= UInt64(next) else { break }
            news += follower.processEnded(process)
        }
        return news
    }

    private mutating func dropAll() -> [RunNews] {
        follower.livingProcesses.sorted().flatMap { follower.processEnded($0) }
    }

    /// Whether a record that was begun can still be ended by who began it.
    private mutating func mayStillCome(_ process: Int32, _ now: TraceTime) -> Bool {
        let since = waitingSince ?? now
        waitingSince = since
        if processes.knows(process) { return !processes.hasEnded(process) }
        return now.nanoseconds(since: since) < Self.patience
    }
}

extension TraceTime {
    /// Now, on the clock of a run's records.
    static var monotonic: TraceTime {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return TraceTime(rawValue: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }
}

/// Which processes of a run have ended, as far as that can be told from here.
///
/// A record has its process's number as the process itself sees it: in a PID namespace of its own it
/// means nothing here. So only one that was seen alive can be seen to have ended.
struct ProcessSight {
    /// Whether each was alive when its first record came.
    private var seen: [Int32: Bool] = [:]

    /// Takes the number from a record that has just come.
    mutating func note(_ process: Int32) {
        guard process > 0, seen[process] == nil else { return }
        seen[process] = Self.lives(process)
    }

    /// Whether it was seen alive; else nothing can be told.
    func knows(_ process: Int32) -> Bool { seen[process] == true }

    /// Whether it was seen alive and no longer is.
    func hasEnded(_ process: Int32) -> Bool { knows(process) && !Self.lives(process) }

    /// Whether there is such a process, and more of it than its exit status.
    private static func lives(_ process: Int32) -> Bool {
        guard kill(process, 0) == 0 || errno != ESRCH else { return false }
        let file = open("/proc/\(process)/stat", O_RDONLY | O_CLOEXEC)
        // It is there, and that is all that can be told.
        guard file >= 0 else { return true }
        defer { close(file) }
        var buffer = [UInt8](repeating: 0, count: 1_024)
        let count = Glibc.read(file, &buffer, buffer.count)
        // The name before it may have spaces and parentheses of its own.
        guard count > 0, let name = buffer[..<count].lastIndex(of: UInt8(ascii: ")")) else {
            return true
        }
        let fields = buffer[name..<count].dropFirst().split(separator: UInt8(ascii: " "))
        // state is field 3 of proc_pid_stat(5), num_threads is 20.
        guard fields.count > 17, let state = fields[0].first else { return true }
        // A first thread that has ended is a zombie too while others go on.
        let isAlone = fields[17].elementsEqual("1".utf8) || fields[17].elementsEqual("0".utf8)
        return !(isAlone && [UInt8(ascii: "Z"), UInt8(ascii: "X")].contains(state))
    }
}
