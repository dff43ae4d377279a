import CRunRecord
import Dispatch
import Glibc
import Memslots

/// Reads records from memory that programs write to, each once and in order.
///
/// A record's place is reserved before its call is made. So once all reserved records are read,
/// every later call ends after that time; no clock of another process is trusted.
package struct RunRecordReader {
    private var follower: RunFollower
    private var next: UInt64 = 0
    private var waitingSince: TraceTime?
    private var processes = LiveProcesses()

    /// How long to wait for a record of an unknown process, in nanoseconds.
    private static let patience: UInt64 = 2_000_000_000

    package init(_ follower: RunFollower) { self.follower = follower }

    /// Reads the new records. If it `isOver`, all processes have ended, and open transactions do.
    package mutating func read(
        _ bytes: UnsafeRawBufferPointer, isOver: Bool = false
    ) -> [RunEvent] {
        // Before the records: see above.
        let now = TraceTime(rawValue: DispatchTime.now().uptimeNanoseconds)
        guard let records = RunRecords(bytes) else { return [] }
        var events: [RunEvent] = []
        while next < records.begun {
            if records.isLost(next) {
                // Some more, so that these are not overwritten at once.
                let start = min(records.oldestOfRing + records.room / 16, records.begun)
                events += dropAll() + [.lost(Int(clamping: start - next))]
                (next, waitingSince) = (start, nil)
                continue
            }
            let words = records.read(next)
            // Overwritten since `begun` was read: the next visit finds out.
            if words.kind == CRUN_OVERWRITTEN, !isOver { return events }
            processes.record(words.process)
            if words.kind == CRUN_NOTHING {
                if !isOver && mayStillFinish(words.process, now) { return events }
            } else if let record = RunRecord(words, number: Int(clamping: next) &+ 1) {
                events += follower.apply(record)
            }
            waitingSince = nil
            next += 1
        }
        events += follower.endPaused(at: now)
        if isOver { return events + dropAll() + follower.finish() }
        for process in follower.livingProcesses where processes.hasEnded(process) {
            // Its last records may have arrived meanwhile.
            guard RunRecords(bytes).map({ $0.begun <= next }) == true else { break }
            events += follower.processEnded(process)
        }
        return events
    }

    private mutating func dropAll() -> [RunEvent] {
        follower.livingProcesses.sorted().flatMap { follower.processEnded($0) }
    }

    private mutating func mayStillFinish(_ process: Int32, _ now: TraceTime) -> Bool {
        let since = waitingSince ?? now
        waitingSince = since
        if processes.isKnown(process) { return !processes.hasEnded(process) }
        return now.nanoseconds(since: since) < Self.patience
    }
}

/// The processes of a run that are known to be alive or to have ended. A record has the number of
/// the process's own PID namespace, so only one that was seen alive can be seen to have ended.
struct LiveProcesses {
    private var seen: [Int32: Bool] = [:]

    mutating func record(_ process: Int32) {
        guard process > 0, seen[process] == nil else { return }
        seen[process] = Self.isAlive(process)
    }

    func isKnown(_ process: Int32) -> Bool { seen[process] == true }
    func hasEnded(_ process: Int32) -> Bool { isKnown(process) && !Self.isAlive(process) }

    private static func isAlive(_ process: Int32) -> Bool {
        guard kill(process, 0) == 0 || errno != ESRCH else { return false }
        let file = open("/proc/\(process)/stat", O_RDONLY | O_CLOEXEC)
        // It exists; no more is known.
        guard file >= 0 else { return true }
        defer { close(file) }
        var buffer = [UInt8](repeating: 0, count: 1_024)
        let count = Glibc.read(file, &buffer, buffer.count)
        // The name may contain spaces and parentheses.
        guard count > 0, let name = buffer[..<count].lastIndex(of: UInt8(ascii: ")")) else {
            return true
        }
        let fields = buffer[name..<count].dropFirst().split(separator: UInt8(ascii: " "))
        // state is field 3 of proc_pid_stat(5), num_threads is 20.
        guard fields.count > 17, let state = fields[0].first else { return true }
        // A first thread that has ended is a zombie too while other threads run.
        let isAlone = fields[17].elementsEqual("1".utf8) || fields[17].elementsEqual("0".utf8)
        return !(isAlone && [UInt8(ascii: "Z"), UInt8(ascii: "X")].contains(state))
    }
}

/// The records of a run, by number from 0: the first half of the room stays, the other is a ring.
struct RunRecords {
    let header: crun_header
    let begun, room: UInt64
    private let records: UnsafePointer<crun_record>

    /// - Parameter bytes: the memory, which programs may write to and may have filled with anything.
    init?(_ bytes: UnsafeRawBufferPointer) {
        let headerSize = MemoryLayout<crun_header>.size
        guard let base = bytes.baseAddress, bytes.count >= headerSize else { return nil }
        let header = base.assumingMemoryBound(to: crun_header.self)
        // Before anything else: once all of these are read, every later call ends after that.
        begun = crun_next(header)
        self.header = header.pointee
        let size = UInt64(bytes.count - headerSize) / UInt64(MemoryLayout<crun_record>.stride)
        room = min(crun_room(header), size & ~1)
        records = UnsafeRawPointer(base + headerSize).assumingMemoryBound(to: crun_record.self)
        guard room >= 4, header.pointee.magic == crun_magic() else { return nil }
    }

    /// The first number of the newest records: all before it, but for those that stay, are lost.
    var oldestOfRing: UInt64 { begun > room ? begun - room / 2 : room / 2 }
    var lost: UInt64 { oldestOfRing - room / 2 }
    /// The numbers of the records that are not lost.
    var kept: some Sequence<UInt64> {
        [0..<min(begun, room / 2), min(begun, oldestOfRing)..<begun].joined()
    }

    func isLost(_ number: UInt64) -> Bool { number >= room / 2 && number < oldestOfRing }

    /// Copies a record; its kind may be `CRUN_NOTHING` (not finished) or `CRUN_OVERWRITTEN`.
    func read(_ number: UInt64) -> crun_record {
        var copy = crun_record()
        copy.kind = crun_read(records, room, number, &copy)
        return copy
    }
}
