import Glibc
import Histogram

/// What a load found.
package struct LoadReport: Hashable, Sendable {
    /// Submits that were answered with a receipt of a new generation.
    package var commits: UInt64 = 0
    /// Submits of what was there already: two clients of a VM may want the same.
    package var unchanged: UInt64 = 0
    /// Compare-and-swaps that came too late.
    package var conflicts: UInt64 = 0
    /// Submits that were refused for any other reason.
    package var errors: UInt64 = 0
    /// The first of those reasons.
    package var firstError: String?
    /// Connections that ended by themselves.
    package var lostConnections: UInt64 = 0
    /// VMs whose generation is not the number of commits told to clients.
    package var lostUpdates: [String] = []
    /// Events that subscribers read.
    package var events: UInt64 = 0
    /// Events that subscribers were told they missed.
    package var droppedEvents: UInt64 = 0
    /// Events that are missing at a subscriber that was not told so.
    package var lostEvents: UInt64 = 0
    /// How long clients submitted, in nanoseconds.
    package var nanoseconds: UInt64 = 0
    /// From when a submit was due to its answer.
    package var latency = LoadLatency()
    /// The daemon before there was a VM.
    package var before: ProcessUsage?
    /// The daemon when a tenth of the time was over.
    package var early: ProcessUsage?
    /// The daemon when nine tenths of it were over.
    package var late: ProcessUsage?
    /// The daemon when VMs and connections were gone again.
    package var after: ProcessUsage?

    /// Submits a second that were answered.
    package var throughput: Double {
        nanoseconds == 0
            ? 0 : Double(commits + unchanged + conflicts + errors) / (Double(nanoseconds) / 1e9)
    }

    /// Whether nothing was lost, nothing refused, and every descriptor given back.
    package var isClean: Bool {
        lostUpdates.isEmpty && lostEvents == 0 && lostConnections == 0 && errors == 0
            && !leaksDescriptors
    }

    /// Whether the daemon has more descriptors open than before.
    package var leaksDescriptors: Bool {
        guard let before, let after else { return false }
        return after.descriptors > before.descriptors
    }
}

/// Latencies in nanoseconds, to three digits; all 0 where nothing was measured.
package struct LoadLatency: Hashable, Sendable {
    /// Half were no longer.
    package var p50: UInt64 = 0
    /// Nine of ten were no longer.
    package var p90: UInt64 = 0
    /// 99 of 100 were no longer.
    package var p99: UInt64 = 0
    /// 999 of 1,000 were no longer.
    package var p999: UInt64 = 0
    /// The longest.
    package var max: UInt64 = 0
}

/// What one client or subscriber counted.
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
    private var latencies = Histogram<UInt64>(
        highestTrackableValue: longest, numberOfSignificantValueDigits: .three)

    /// Ten minutes; what is longer counts as this.
    private static let longest: UInt64 = 600_000_000_000

    mutating func record(latency nanoseconds: UInt64) {
        latencies.record(min(nanoseconds, Self.longest))
    }

    /// Takes in what another counted.
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

    var latency: LoadLatency {
        guard latencies.totalCount > 0 else { return LoadLatency() }
        return LoadLatency(
            p50: latencies.valueAtPercentile(50), p90: latencies.valueAtPercentile(90),
            p99: latencies.valueAtPercentile(99), p999: latencies.valueAtPercentile(99.9),
            max: latencies.maxRecorded)
    }
}

/// What a process holds, as /proc tells it.
package struct ProcessUsage: Hashable, Sendable {
    /// Resident memory, in bytes.
    package var memory: UInt64
    /// Open descriptors.
    package var descriptors: Int
    /// Threads.
    package var threads: Int

    /// Looks at `process`; `nil` where that is not permitted, or the process not on this machine.
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
