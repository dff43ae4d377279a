import Glibc

/// The result of a load.
package struct LoadReport: Hashable, Sendable {
    /// Submits with a receipt of a new generation.
    package var commits: UInt64 = 0
    /// Submits of the active array: two clients of a VM may submit the same.
    package var unchanged: UInt64 = 0
    /// Compare-and-swaps with an old generation.
    package var conflicts: UInt64 = 0
    /// Submits refused for any other reason.
    package var errors: UInt64 = 0
    /// The first of those reasons.
    package var firstError: String?
    /// Connections closed by the daemon.
    package var lostConnections: UInt64 = 0
    /// VMs whose generation differs from the number of commits.
    package var lostUpdates: [String] = []
    /// Events that subscribers received.
    package var events: UInt64 = 0
    /// Events reported to subscribers as dropped.
    package var droppedEvents: UInt64 = 0
    /// Events missing without a report.
    package var lostEvents: UInt64 = 0
    /// The duration of the submits in nanoseconds.
    package var nanoseconds: UInt64 = 0
    /// The time from when a submit was due to its reply.
    package var latency = TimeDistribution()
    /// The daemon before the first VM.
    package var before: ProcessUsage?
    /// The daemon after a tenth of the time.
    package var early: ProcessUsage?
    /// The daemon after nine tenths of the time.
    package var late: ProcessUsage?
    /// The daemon after all VMs and connections are gone.
    package var after: ProcessUsage?

    /// Submits with a reply, a second.
    package var throughput: Double {
        nanoseconds == 0
            ? 0 : Double(commits + unchanged + conflicts + errors) / (Double(nanoseconds) / 1e9)
    }

    /// Whether nothing was lost or refused and every descriptor was closed.
    package var isClean: Bool {
        lostUpdates.isEmpty && lostEvents == 0 && lostConnections == 0 && errors == 0
            && !leaksDescriptors
    }

    /// Whether the daemon has more open descriptors than before.
    package var leaksDescriptors: Bool {
        guard let before, let after else { return false }
        return after.descriptors > before.descriptors
    }
}

/// The counts of one client or subscriber.
struct LoadTally {
    var commits: [String: UInt64] = [:]
    var unchanged: UInt64 = 0
    var conflicts: UInt64 = 0
    var errors: UInt64 = 0
    var firstError: String?
    var lostConnections: UInt64 = 0
    var events: UInt64 = 0
    var droppedEvents: UInt64 = 0
    var lostEvents: UInt64 = 0
    var latencies = TimeHistogram()

    mutating func add(_ other: LoadTally) {
        commits.merge(other.commits, uniquingKeysWith: +)
        unchanged += other.unchanged
        conflicts += other.conflicts
        errors += other.errors
        firstError = firstError ?? other.firstError
        lostConnections += other.lostConnections
        events += other.events
        droppedEvents += other.droppedEvents
        lostEvents += other.lostEvents
        latencies.add(other.latencies)
    }
}

/// The resources of a process according to /proc.
package struct ProcessUsage: Hashable, Sendable {
    package var memory: UInt64
    package var descriptors: Int
    package var threads: Int

    /// Reads the usage of `process`; `nil` if that is not permitted or the process is on another
    /// machine.
    package init?(of process: Int32) {
        guard let status = Self.status(of: process),
            let descriptors = Self.descriptors(of: process)
        else { return nil }
        memory = (status["VmRSS"] ?? 0) * 1_024
        threads = Int(status["Threads"] ?? 0)
        self.descriptors = descriptors
    }

    private static func status(of process: Int32) -> [Substring: UInt64]? {
        guard let file = fopen("/proc/\(process)/status", "re") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 14)
        let count = fread(&bytes, 1, bytes.count, file)
        var values: [Substring: UInt64] = [:]
        for line in String(decoding: bytes[..<count], as: UTF8.self).split(separator: "\n") {
            let words = line.split { $0 == ":" || $0 == "\t" || $0 == " " }
            if words.count >= 2, let value = UInt64(words[1]) { values[words[0]] = value }
        }
        return values
    }

    private static func descriptors(of process: Int32) -> Int? {
        guard let directory = opendir("/proc/\(process)/fd") else { return nil }
        defer { closedir(directory) }
        var count = 0
        while readdir(directory) != nil { count += 1 }
        // Without "." and "..".
        return count - 2
    }
}
