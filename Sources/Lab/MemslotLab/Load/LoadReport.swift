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

    /// The submits that got a reply, per second.
    package var throughput: Double {
        let kinds: [LoadTally.Count] = [.commits, .unchanged, .conflicts, .errors]
        let replies = kinds.reduce(0) { $0 + tally.counts[$1] }
        return nanoseconds == 0 ? 0 : Double(replies) / (Double(nanoseconds) / 1e9)
    }

    /// Whether nothing was lost or refused and every descriptor was closed.
    package var isClean: Bool {
        let kinds: [LoadTally.Count] = [.lostEvents, .lostConnections, .errors]
        return lostUpdates.isEmpty && kinds.allSatisfy { tally.counts[$0] == 0 }
            && !leaksDescriptors
    }

    /// Whether the daemon has more open descriptors than before.
    package var leaksDescriptors: Bool {
        guard let before, let after else { return false }
        return after.descriptors > before.descriptors
    }
}

/// What one client or subscriber has counted, or all.
package struct LoadTally {
    /// By the names in JSON.
    package enum Count: String, CaseIterable, Sendable {
        /// Submits with a receipt of a new generation.
        case commits
        /// Submits of the active array: two clients of a VM may submit the same.
        case unchanged
        /// Compare-and-swaps with an old generation.
        case conflicts
        /// Submits refused for any other reason.
        case errors
        /// Events received, reported to subscribers as dropped, and missing without a report.
        case events, droppedEvents, lostEvents
        /// Connections closed by the daemon.
        case lostConnections
    }

    package internal(set) var counts = Tally<Count>()
    /// The commits by VM.
    var commits: [String: UInt64] = [:]
    /// The first reason why a submit was refused or a connection lost.
    package internal(set) var firstError: String?
    /// The times from when a submit was due to its reply.
    package internal(set) var latency = TimeHistogram()

    mutating func add(_ other: LoadTally) {
        counts += other.counts
        commits.merge(other.commits, uniquingKeysWith: +)
        firstError = firstError ?? other.firstError
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
