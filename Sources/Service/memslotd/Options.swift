public import ArgumentParser
import Glibc
public import Logging
import MemslotProtocol
import MemslotService

/// Where the daemon listens, and who may connect.
struct SocketOptions: ParsableArguments {
    @Option(help: "The socket's path, at most 107 bytes.", completion: .file()) var socket: String?

    @Option(
        help: ArgumentHelp(
            "A user who may call every method. Repeat the option for more users.",
            discussion:
                "By name or number. The user must also be able to reach the socket: through an access list, "
                + "or because systemd creates the socket.", valueName: "uid"), transform: user)
    var allowUID: [UInt32] = []

    @Option(
        help: ArgumentHelp(
            "A group, by name or number, that may call every method. The socket gets mode 0660, and a directory that "
                + "the daemon creates 0750.", valueName: "gid"), transform: group)
    var allowGID: UInt32?

    @Option(
        help: ArgumentHelp(
            "A group that may read, but change nothing. With --allow-gid, an access list lets "
                + "this group reach the socket.", valueName: "gid"), transform: group)
    var readOnlyGID: UInt32?

    var isGiven: Bool {
        socket != nil || !allowUID.isEmpty || allowGID != nil || readOnlyGID != nil
    }

    /// The path that is given, or the standard one.
    var path: SocketPath {
        get throws(ListeningError) {
            guard let socket else { return try SocketPath.standard() }
            return try SocketPath(socket)
        }
    }

    var access: PeerAccess {
        PeerAccess(users: Set(allowUID), group: allowGID, readOnlyGroup: readOnlyGID)
    }
}

/// The number of a user or group on the command line, which is given by number or name.
private func number(_ word: String, of find: (String) -> UInt32?) throws -> UInt32 {
    guard let number = UInt32(word) ?? find(word) else {
        throw ValidationError("there is nobody of that name or number")
    }
    return number
}

private func user(_ word: String) throws -> UInt32 {
    try number(word) { getpwnam($0)?.pointee.pw_uid }
}

private func group(_ word: String) throws -> UInt32 {
    try number(word) { getgrnam($0)?.pointee.gr_gid }
}

extension Quantity: ExpressibleByArgument {}

struct OperationOptions: ParsableArguments {
    @Flag(help: "Serve standard input and output instead of a socket, until the input ends.")
    var stdio = false

    @Option(
        help: ArgumentHelp(
            "The lowest level that is logged: trace, debug, info, notice, warning, error or "
                + "critical.",
            discussion: "Commits are logged at info, connections at debug.", valueName: "level"))
    var logLevel: Logger.Level = .info

    @Option(
        help: ArgumentHelp(
            "How the log's lines look: text, json (an object a line), or journal (after the "
                + "priority that journald reads, without a time).", valueName: "format"))
    var logFormat: LogFormat = .text

    @Option(
        help: ArgumentHelp(
            "Write all metrics to this file every 15 seconds, in Prometheus's text format.",
            discussion: "For node_exporter's textfile collector. It is removed at the end.",
            valueName: "path"), completion: .file())
    var metricsFile: String?

    @Option(
        help: ArgumentHelp(
            "What a system call does that the daemon does not need: standard (it fails) or strict "
                + "(it ends the daemon).", valueName: "mode"))
    var sandbox: Confinement?

    @Flag(help: "Don't confine the daemon. This is logged.") var noSandbox = false

    /// `nil` for none.
    var confinement: Confinement? { noSandbox ? nil : sandbox ?? .standard }
}

extension Confinement: ExpressibleByArgument {}

extension Logger.Level: @retroactive ExpressibleByArgument {}

/// What remains when the daemon ends.
struct StateOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Keep VMs in this directory, and restore them at the next start.",
            discussion: """
                It does not matter how the daemon ended. A missing directory is created with mode \
                0700; it must belong to the daemon's user. Each VM is restored with its last \
                committed array, its generation and its memory objects, except for VMs that were \
                created as "ephemeral". Memory is kept in systemd's descriptor store if the unit \
                has FileDescriptorStoreMax=, else in files of the directory, which can't be \
                exported.
                """, valueName: "path"), completion: .directory)
    var stateDir: String?

    @Flag(
        help: ArgumentHelp(
            "Reply to a change only when it is on the disk.",
            discussion: "Protects against the end of the host. A daemon that is killed loses "
                + "nothing without it."))
    var stateSync = false

    func validate() throws {
        if stateSync && stateDir == nil {
            throw ValidationError("--state-sync requires --state-dir")
        }
    }
}

/// The daemon's limits that options set; `server.info` shows all of them. Bytes may have a unit.
struct LimitOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Connections at the same time. One user has at most half of them.", valueName: "count"))
    var maxConnections = ServiceLimits().connections

    @Option(
        help: ArgumentHelp(
            "Bytes of memory of the daemon itself, without that of guests; K, M, G and T work.",
            discussion: "By default half of the host's memory, or of the limit of the daemon's "
                + "control groups, but at least \(LimitOptions.leastMemory); with less memory than "
                + "that the daemon starts only with lower options, which it prints. "
                + "All limits that cost memory and have no option here are lowered to fit, "
                + "which is logged. A lower limit needs a lower --max-line, --max-connections or "
                + "--max-vms; higher ones need more.", valueName: "bytes"))
    var memoryLimit: Quantity?

    @Option(help: ArgumentHelp("Bytes of a line: 1K to 128M.", valueName: "bytes"))
    var maxLine = Quantity(ServiceLimits().lineBytes)

    @Option(
        name: .customLong("max-vms"), help: ArgumentHelp("VMs of one user.", valueName: "count"))
    var vms = ServiceLimits().vmsPerPeer

    @Option(help: ArgumentHelp("Bytes of all memory objects of one user.", valueName: "bytes"))
    var maxMemory = Quantity(ServiceLimits().memoryBytesPerPeer)

    @Option(
        help: ArgumentHelp(
            "Bytes of kernel memory for the slots of one user's KVM VMs.",
            discussion: "By default an eighth of the host's memory, or of the limit of the "
                + "daemon's control groups, and at most 2 GiB.", valueName: "bytes"))
    var maxKernelMemory: Quantity?

    @Option(
        help: ArgumentHelp(
            "Requests of a connection that run at the same time. The daemon reads no more until "
                + "one ends.", valueName: "count"))
    var maxInFlight = ServiceLimits().inFlightRequests

    @Option(help: ArgumentHelp("Events that wait for a subscriber.", valueName: "count"))
    var maxQueuedEvents = ServiceLimits().queuedEvents

    /// The least memory with the default limits.
    static let leastMemory = ServiceLimits().leastMemory

    /// Half of the longest JSON document.
    private static let largestLine = 1 << 27

    private var line: Int { Int(clamping: maxLine.value) }

    func validate() throws {
        guard (1...65_536).contains(maxConnections) else {
            throw ValidationError("--max-connections must be 1 to 65536")
        }
        guard (1_024...Self.largestLine).contains(line) else {
            throw ValidationError("--max-line must be 1024 to \(Self.largestLine)")
        }
        guard (1...1 << 30).contains(vms), maxInFlight > 0, maxQueuedEvents > 0 else {
            throw ValidationError("a limit must be at least 1, and --max-vms at most \(1 << 30)")
        }
    }

    /// The limits, as low as the limit of memory requires. Throws where they can't be that low.
    func limits() throws -> ServiceLimits {
        var limits = ServiceLimits()
        limits.connections = maxConnections
        limits.connectionsPerPeer = max(maxConnections / 2, 1)
        limits.threads = max(limits.threads, maxConnections * 4)
        limits.threadsPerPeer = limits.threads / 2
        limits.lineBytes = line
        limits.vmsPerPeer = vms
        limits.vms = 2 * vms
        limits.memoryBytesPerPeer = maxMemory.value
        limits.memoryBytes = max(
            limits.memoryBytes, maxMemory.value.multipliedReportingOverflow(by: 2).partialValue)
        limits.inFlightRequests = maxInFlight
        limits.queuedEvents = maxQueuedEvents
        // A peer's longest line, decoded.
        limits.requestBytesPerPeer = max(limits.requestBytesPerPeer, 18 * line)
        limits.requestBytes = 2 * limits.requestBytesPerPeer
        let half = HostMemory.half
        // The kernel takes about 2 s for each GiB, and no signal ends a slot call: see SECURITY.md.
        limits.kernelMemoryPerPeer = maxKernelMemory?.value ?? min(2 << 30, UInt64(half / 4))
        limits.kernelMemory = 2 * min(limits.kernelMemoryPerPeer, 1 << 62)
        // A host that has less than the limits need has no default.
        let bytes =
            memoryLimit.map { Int(clamping: $0.value) }
            ?? min(limits.defaultMemory(half: half), 2 * half)
        guard limits.lower(toMemory: bytes) else {
            let rest = fitting(bytes, of: limits).map { "with \($0) they fit" }
            let what =
                memoryLimit == nil
                ? "this host, or the control group, has \(bytes) bytes of memory, which is too few"
                : "a memory limit of \(bytes) bytes is too low"
            let other = memoryLimit == nil ? "it needs more" : "raise --memory-limit"
            throw ValidationError(
                "\(what); these limits need at least \(limits.leastMemory): \(rest ?? other)")
        }
        return limits
    }

    /// Lower values of the costliest options, which need no more than `bytes`; `nil` if none do.
    private func fitting(_ bytes: Int, of limits: ServiceLimits) -> String? {
        let given = [line, maxConnections, vms]
        let least = [1 << 20, 16, 16]
        let costs = [21, limits.connectionBytes + limits.threadBytes, 2 * limits.vmBytes]
        var (limits, values) = (limits, given)
        while limits.leastMemory > bytes {
            // The costliest of them is halved.
            let high = values.indices.filter { values[$0] > least[$0] }
            guard let most = high.max(by: { values[$0] * costs[$0] < values[$1] * costs[$1] })
            else { return nil }
            values[most] /= 2
            (limits.lineBytes, limits.connections) = (values[0], values[1])
            limits.vms = 2 * values[2]
        }
        return values.indices.filter { values[$0] < given[$0] }
            .map { "\(["--max-line", "--max-connections", "--max-vms"][$0]) \(values[$0])" }
            .joined(separator: " ")
    }
}
