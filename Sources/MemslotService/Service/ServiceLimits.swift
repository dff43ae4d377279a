/// How much a service takes and keeps. Told by `server.info`.
public struct ServiceLimits: Hashable, Sendable {
    /// VMs of one user.
    public var vmsPerPeer = 1_024
    /// Memory objects of one user, in all its VMs.
    public var memoriesPerPeer = 4_096
    /// Bytes of all memory objects of one user together.
    public var memoryBytesPerPeer: UInt64 = 1 << 44
    /// Receipts of history a VM.
    public var receipts = 1_024
    /// Faults listed of one array; all are counted.
    public var violations = 1_024
    /// Containers within one another in a request.
    public var depth = 64
    /// Bytes of a line.
    public var lineBytes = 16 << 20
    /// Requests of a batch.
    public var batch = 65_536
    /// Addresses of one `memslots.translate`.
    public var addresses = 1 << 20
    /// Faults armed at once in a simulated VM.
    public var armedFaults = 1_024

    /// The defaults.
    public init() {}
}
