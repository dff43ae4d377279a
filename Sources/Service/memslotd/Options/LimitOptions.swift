import ArgumentParser
import MemslotService

/// How much the daemon takes; `server.info` tells all.
struct LimitOptions: ParsableArguments {
    @Option(
        name: .customLong("max-connections"),
        help: ArgumentHelp("Connections at once.", valueName: "count"))
    var connections = ServiceLimits().connections

    @Option(
        name: .customLong("max-line"),
        help: ArgumentHelp("Bytes of a line.", valueName: "bytes"))
    var lineBytes = ServiceLimits().lineBytes

    @Option(
        name: .customLong("max-vms"), help: ArgumentHelp("VMs of one user.", valueName: "count"))
    var vms = ServiceLimits().vmsPerPeer

    @Option(
        name: .customLong("max-memory"),
        help: ArgumentHelp("Bytes of all memory objects of one user.", valueName: "bytes"))
    var memoryBytes = ServiceLimits().memoryBytesPerPeer

    @Option(
        name: .customLong("max-in-flight"),
        help: ArgumentHelp(
            "Requests of a connection under way; beyond it the connection is not read.",
            valueName: "count"))
    var inFlight = ServiceLimits().inFlightRequests

    @Option(
        name: .customLong("max-queued-events"),
        help: ArgumentHelp("Events that wait for a subscriber.", valueName: "count"))
    var queuedEvents = ServiceLimits().queuedEvents

    /// Half of what a document may have.
    private static let largestLine = 1 << 27

    func validate() throws {
        guard (1...65_536).contains(connections) else {
            throw ValidationError("--max-connections is 1 to 65536")
        }
        guard (1_024...Self.largestLine).contains(lineBytes) else {
            throw ValidationError("--max-line is 1024 to \(Self.largestLine)")
        }
        guard vms > 0, inFlight > 0, queuedEvents > 0 else {
            throw ValidationError("limits begin at 1")
        }
    }

    var limits: ServiceLimits {
        var limits = ServiceLimits()
        limits.connections = connections
        limits.threads = max(limits.threads, connections * 2 + 64)
        limits.lineBytes = lineBytes
        limits.vmsPerPeer = vms
        limits.memoryBytesPerPeer = memoryBytes
        limits.inFlightRequests = inFlight
        limits.queuedEvents = queuedEvents
        return limits
    }
}
