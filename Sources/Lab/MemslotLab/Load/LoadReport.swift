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
