public import MemslotGuests
public import MemslotKVM

/// What is tortured, and how.
public struct TortureOptions: Hashable, Sendable {
    /// Whose slots change.
    public var backend: TortureBackend = .kvm
    /// What runs on a real VM.
    public var guest: GuestKind = .real
    /// How many vCPUs use the memory. Range: ``vcpusRange``.
    public var vcpus: Int = 2
    /// How many transactions are made.
    public var transactions: Int = 3_000
    /// Whether vCPUs are held out.
    public var mode: TortureMode = .atomic
    /// What the transactions change.
    public var change: TortureChange = .mix
    /// Whether the guest's code stands in the region too. On a real VM.
    public var codeInRegion = false
    /// How the dirty log is kept. A simulated VM has no rings.
    public var dirtyLog: DirtyLogMode = .clearedByReading
    /// What the random choices begin with.
    public var seed: UInt64 = 1

    /// 1 … 64: as many as the guests have numbers for.
    public static let vcpusRange: ClosedRange<Int> = 1...64

    /// The defaults.
    public init() {}
}

/// Whose slots change.
public enum TortureBackend: String, Hashable, Sendable, CaseIterable {
    /// A real VM's, with vCPUs that run a guest.
    case kvm
    /// A simulated VM's, with threads for vCPUs.
    case simulated
}

/// Whether vCPUs are held out while slots change.
public enum TortureMode: String, Hashable, Sendable, CaseIterable {
    /// They are, by the gate.
    case atomic
    /// They are not: the same calls with nobody held out. The control.
    case naive
}
