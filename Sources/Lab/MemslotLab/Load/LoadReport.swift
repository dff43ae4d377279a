/// What a load found.
public struct LoadReport: Hashable, Sendable {
    /// Submits that were answered with a receipt of a new generation.
    public var commits: UInt64 = 0
    /// Submits of what was there already: two clients of a VM may want the same.
    public var unchanged: UInt64 = 0
    /// Compare-and-swaps that came too late.
    public var conflicts: UInt64 = 0
    /// Submits that were refused for any other reason.
    public var errors: UInt64 = 0
    /// The first of those reasons.
    public var firstError: String?
    /// Connections that ended by themselves.
    public var lostConnections: UInt64 = 0
    /// VMs whose generation is not the number of commits told to clients.
    public var lostUpdates: [String] = []
    /// Events that subscribers read.
    public var events: UInt64 = 0
    /// Events that subscribers were told they missed.
    public var droppedEvents: UInt64 = 0
    /// Events that are missing at a subscriber that was not told so.
    public var lostEvents: UInt64 = 0
    /// How long clients submitted, in nanoseconds.
    public var nanoseconds: UInt64 = 0
    /// From when a submit was due to its answer.
    public var latency = LoadLatency()
    /// The daemon before there was a VM.
    public var before: ProcessUsage?
    /// The daemon when a tenth of the time was over.
    public var early: ProcessUsage?
    /// The daemon when nine tenths of it were over.
    public var late: ProcessUsage?
    /// The daemon when VMs and connections were gone again.
    public var after: ProcessUsage?

    /// Submits a second that were answered.
    public var throughput: Double {
        nanoseconds == 0
            ? 0 : Double(commits + unchanged + conflicts + errors) / (Double(nanoseconds) / 1e9)
    }

    /// Whether nothing was lost, nothing refused, and every descriptor given back.
    public var isClean: Bool {
        lostUpdates.isEmpty && lostEvents == 0 && lostConnections == 0 && errors == 0
            && !leaksDescriptors
    }

    /// Whether the daemon has more descriptors open than before.
    public var leaksDescriptors: Bool {
        guard let before, let after else { return false }
        return after.descriptors > before.descriptors
    }
}

/// Latencies in nanoseconds, to three digits; all 0 where nothing was measured.
public struct LoadLatency: Hashable, Sendable {
    /// Half were no longer.
    public var p50: UInt64 = 0
    /// Nine of ten were no longer.
    public var p90: UInt64 = 0
    /// 99 of 100 were no longer.
    public var p99: UInt64 = 0
    /// 999 of 1,000 were no longer.
    public var p999: UInt64 = 0
    /// The longest.
    public var max: UInt64 = 0
}
