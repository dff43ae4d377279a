/// Keeps vCPUs out of the guest while the table changes.
///
/// ``VCPUGate`` is the one that comes with the package. A VMM that has a pause of its own supplies
/// that instead. Called by one transaction at a time, from the submitting thread.
public protocol VCPUHold: AnyObject, Sendable {
    /// Lets no vCPU enter the guest any more, and asks those inside to leave. Doesn't wait.
    ///
    /// Called again before ``end()`` when a failed table is recovered: asks again.
    func begin()

    /// Waits until no vCPU is in the guest.
    ///
    /// - Returns: the names of the vCPUs that are still inside at the deadline.
    func waitUntilHeld(_ deadline: Deadline) -> [String]

    /// Runs `body` once all are held, so that none can enter before it returns.
    func exclusively(_ body: () -> Void)

    /// Lets vCPUs into the guest again. Called once for all ``begin()`` before it.
    func end()
}
