public import Memslots

/// A number by its name on the wire: a limit, a counter or a percentile.
public struct NamedValue: Hashable, Sendable {
    /// The name.
    public var name: String
    /// The number.
    public var value: UInt64

    /// Names `value`.
    public init(_ name: String, _ value: UInt64) { (self.name, self.value) = (name, value) }
}

/// What a server is: its version, its backends, its limits.
public struct ServerInfo: Sendable {
    /// Whether a backend works here.
    public enum Backend: Sendable {
        /// It does.
        case available(Capabilities)
        /// It does not, for this reason.
        case unavailable(String)
    }

    /// The version of the package.
    public var version: String
    /// The server's process.
    public var pid: Int32
    /// The simulator.
    public var simulated: Backend
    /// The host's KVM.
    public var kvm: Backend
    /// The limits.
    public var limits: [NamedValue]
    /// The state directory; `nil` where no VM is kept.
    public var state: ServerState?

    package init(
        version: String, pid: Int32, simulated: Backend, kvm: Backend, limits: [NamedValue],
        state: ServerState?
    ) {
        (self.version, self.pid, self.simulated) = (version, pid, simulated)
        (self.kvm, self.limits, self.state) = (kvm, limits, state)
    }
}

/// The state directory of a server: where memory is kept, and what is wrong.
public struct ServerState: Sendable {
    /// A record of the state.
    public struct Record: Sendable {
        /// The VM; `nil` where the record does not show it.
        public var vm: String?
        /// The file's name in the state directory.
        public var file: String
        /// What is wrong; `nil` where the list's name suffices.
        public var reason: String?
        /// Of a damaged record: whether a repair can restore it.
        public var repair: Repair?

        package init(
            vm: String? = nil, file: String, reason: String? = nil, repair: Repair? = nil
        ) {
            (self.vm, self.file, self.reason, self.repair) = (vm, file, reason, repair)
        }
    }

    /// Whether a damaged record can be repaired; not needed if its VM has a valid record again.
    public enum Repair: String, Sendable { case unneeded, possible, impossible }

    /// The directory's path.
    public var directory: String
    /// A Boolean value that indicates whether memory is kept in a descriptor store, not in files.
    public var hasDescriptorStore: Bool
    /// VMs of this user that could not be restored.
    public var unrestored: [Record]
    /// Records that are damaged. Their users are unknown.
    public var damaged: [Record]
    /// Records of this user that are ahead of their VMs.
    public var ahead: [Record]

    package init(
        directory: String, hasDescriptorStore: Bool, unrestored: [Record], damaged: [Record],
        ahead: [Record]
    ) {
        (self.directory, self.hasDescriptorStore) = (directory, hasDescriptorStore)
        (self.unrestored, self.damaged, self.ahead) = (unrestored, damaged, ahead)
    }
}

/// The counters and histograms of a user and its VMs.
public struct MetricsMessage: Sendable {
    /// The counters and histograms of one VM, or of one user.
    public struct Figures: Sendable {
        /// The VM; `nil` for a user.
        public var vm: String?
        /// The counters.
        public var counters: [NamedValue]
        /// The histograms.
        public var histograms: [Histogram]

        package init(vm: String? = nil, counters: [NamedValue], histograms: [Histogram]) {
            (self.vm, self.counters, self.histograms) = (vm, counters, histograms)
        }
    }

    /// A histogram of times in nanoseconds.
    public struct Histogram: Sendable {
        /// The name.
        public var name: String
        /// `count` and `sum`; with any time also `min`, `max` and percentiles such as `p99`.
        public var values: [NamedValue]

        package init(name: String, values: [NamedValue]) {
            (self.name, self.values) = (name, values)
        }
    }

    /// The user's figures.
    public var user: Figures
    /// How many VMs, slots and memory objects the user has now.
    public var gauges: [NamedValue]
    /// The size of the user's memory objects.
    public var memoryBytes: ByteCount
    /// How many subscriptions the user has now.
    public var subscriptions: Int
    /// What each user has now, for root and the server's own user; else empty.
    public var users: [(user: UInt32, gauges: [NamedValue])]
    /// The figures of each VM.
    public var vms: [Figures]
    /// All of it as text of OpenMetrics 1.0.
    public var openMetrics: String

    package init(
        user: Figures, gauges: [NamedValue], memoryBytes: ByteCount, subscriptions: Int,
        users: [(user: UInt32, gauges: [NamedValue])], vms: [Figures], openMetrics: String
    ) {
        (self.users, self.user, self.gauges) = (users, user, gauges)
        (self.memoryBytes, self.subscriptions, self.vms) = (memoryBytes, subscriptions, vms)
        self.openMetrics = openMetrics
    }
}
