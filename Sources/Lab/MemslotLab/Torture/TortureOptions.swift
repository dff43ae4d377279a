package import MemslotKVM
package import MemslotTestKit

/// What is tortured, and how.
package struct TortureOptions: Hashable, Sendable {
    /// Whose slots change.
    package var backend: TortureBackend = .kvm
    /// What runs on a real VM.
    package var guest: GuestKind = .real
    /// How many vCPUs use the memory. Range: ``vcpusRange``.
    package var vcpus: Int = 2
    /// How many transactions are made.
    package var transactions: Int = 3_000
    /// Whether vCPUs are held out.
    package var mode: TortureMode = .atomic
    /// What the transactions change.
    package var change: TortureChange = .mix
    /// Whether the guest's code stands in the region too. On a real VM.
    package var codeInRegion = false
    /// How the dirty log is kept. A simulated VM has no rings.
    package var dirtyLog: DirtyLogMode = .clearedByReading
    /// What the random choices begin with.
    package var seed: UInt64 = 1

    /// 1 … 64: as many as the guests have numbers for.
    package static let vcpusRange: ClosedRange<Int> = 1...64

    /// The defaults.
    package init() {}
}

/// Whose slots change.
package enum TortureBackend: String, Hashable, Sendable, CaseIterable {
    /// A real VM's, with vCPUs that run a guest.
    case kvm
    /// A simulated VM's, with threads for vCPUs.
    case simulated
}

/// Whether vCPUs are held out while slots change.
package enum TortureMode: String, Hashable, Sendable, CaseIterable {
    /// They are, by the gate.
    case atomic
    /// They are not: the same calls with nobody held out. The control.
    case naive
}
