import MemslotTestKit

package struct LoadReport {
    package internal(set) var tally = LoadTally()
    /// VMs whose generation differs from the number of commits.
    package internal(set) var lostUpdates: [String] = []
    /// The duration of the submits in nanoseconds.
    package internal(set) var nanoseconds: UInt64 = 0
    /// The daemon's usage before the first VM, after one and nine tenths of the time, and after all
    /// VMs were destroyed and all connections closed.
    package internal(set) var before, early, late, after: ProcessUsage?

    package var commits: UInt64 { tally.commits.values.reduce(0, +) }

    /// The submits that got a reply, per second.
    package var throughput: Double {
        let replies = commits + tally.unchanged + tally.conflicts + tally.errors
        return nanoseconds == 0 ? 0 : Double(replies) / (Double(nanoseconds) / 1e9)
    }

    /// Whether nothing was lost or refused and every descriptor was closed.
    package var isClean: Bool {
        lostUpdates.isEmpty && tally.lostEvents == 0 && tally.lostConnections == 0
            && tally.errors == 0 && !leaksDescriptors
    }

    /// Whether the daemon has more open descriptors than before.
    package var leaksDescriptors: Bool {
        guard let before, let after else { return false }
        return after.descriptors > before.descriptors
    }
}

/// The counts of one client or subscriber, or of all.
package struct LoadTally {
    /// Submits with a receipt of a new generation, by VM.
    var commits: [String: UInt64] = [:]
    /// Submits of the active array: two clients of a VM may submit the same.
    package internal(set) var unchanged: UInt64 = 0
    /// Compare-and-swaps with an old generation.
    package internal(set) var conflicts: UInt64 = 0
    /// Submits refused for any other reason.
    package internal(set) var errors: UInt64 = 0
    /// The first of those reasons.
    package internal(set) var firstError: String?
    /// Connections closed by the daemon.
    package internal(set) var lostConnections: UInt64 = 0
    /// Events received, reported to subscribers as dropped, and missing without a report.
    package internal(set) var events: UInt64 = 0, droppedEvents: UInt64 = 0, lostEvents: UInt64 = 0
    /// The times from when a submit was due to its reply.
    package internal(set) var latency = TimeHistogram()

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
        latency.add(other.latency)
    }
}

package struct ProcessUsage: Hashable, Sendable {
    /// Bytes of resident memory.
    package var memory: UInt64
    /// The most that it ever had.
    package var highestMemory: UInt64
    package var descriptors, threads: Int

    /// Returns `nil` if that is not permitted or the process is on another machine.
    package init?(of process: Int32) {
        guard let status = Files.text(of: "/proc/\(process)/status"),
            let descriptors = Files.names(in: "/proc/\(process)/fd")?.count
        else { return nil }
        func number(_ name: String) -> UInt64 {
            let line = status.split(separator: "\n").first { $0.hasPrefix(name + ":") }
            return line?.split { ": \t".contains($0) }.dropFirst().first.flatMap { UInt64($0) } ?? 0
        }
        memory = number("VmRSS") * 1_024
        highestMemory = number("VmHWM") * 1_024
        threads = Int(number("Threads"))
        self.descriptors = descriptors
    }
}
