import Synchronization

/// What vCPUs met that they should not have; counted by their threads.
final class TortureCounters: Sendable {
    private let exits = Atomic<UInt64>(0)
    private let failures = Atomic<UInt64>(0)

    /// Exits for an address that every array has memory at.
    var spuriousExits: UInt64 { exits.load(ordering: .sequentiallyConsistent) }
    /// Runs that ended because KVM could not go on.
    var emulationFailures: UInt64 { failures.load(ordering: .sequentiallyConsistent) }

    func countSpuriousExit() { exits.add(1, ordering: .relaxed) }
    func countEmulationFailure() { failures.add(1, ordering: .relaxed) }
}
