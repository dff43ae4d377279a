/// Holds vCPUs out of the guest while the table changes.
///
/// ``VCPUGate`` is the implementation that comes with the package. A VMM with a pause of its own
/// implements this protocol instead. One transaction at a time calls it, from the submitting
/// thread, in the order ``begin()``, ``waitUntilHeld(by:)``, ``exclusively(_:)``, ``end()``.
/// There are no default implementations: a method with a mistyped name does not compile.
public protocol VCPUHold: AnyObject, Sendable {
    /// Stops vCPUs from entering the guest, and asks those inside to leave. Must not wait.
    ///
    /// Called again before ``end()`` when a failed table is recovered.
    func begin()

    /// Waits until no vCPU is in the guest, or until `deadline`.
    ///
    /// - Returns: the names of the vCPUs that are still inside; empty if all are held.
    func waitUntilHeld(by deadline: Deadline) -> [String]

    /// Runs `body` once, on the calling thread, while all vCPUs are held. None may enter the guest
    /// before it returns.
    func exclusively(_ body: () -> Void)

    /// Lets vCPUs enter the guest again. Called once for all ``begin()`` before it.
    func end()
}
