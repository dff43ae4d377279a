/// Options of one submit.
public struct SubmitOptions: Hashable, Sendable {
    /// When vCPUs are held out of the guest.
    public enum Quiesce: String, CaseIterable, Hashable, Sendable {
        /// If the plan or a hook needs it: no vCPU ever misses a page that both arrays map. Two kinds
        /// of plan run beside the guest: creates and logs on alone, which may appear one by one;
        /// and, on x86-64 from Linux 5.13, one deletion alone of a slot that does not log, which all
        /// vCPUs lose at one instant, except in accesses that KVM makes for them.
        case auto
        /// For every plan, so that vCPUs see additions and a lone deletion at one instant too.
        case always
        /// Only so that no vCPU ever misses a page that both arrays map, and no dirty bit is lost; other
        /// pages come and go in any order. Where vCPUs are held, creates and deletes that need no hold
        /// are made before and after it, if pages that both arrays map stay as they are and no memory
        /// attribute changes. vCPUs may then see additions of a transaction that fails.
        case continuity
    }

    /// The generation that the table must have for the submit to commit: a compare-and-swap.
    /// `nil` commits at any generation.
    public var expectedGeneration: Generation?
    /// When vCPUs are held out.
    public var quiesce: Quiesce
    /// The time for vCPUs and readers to leave, both together, from the start of the drain. A submit
    /// that waits for others of its table uses it up meanwhile, and is withdrawn when it is over; one
    /// of a task that waits for others of tasks, when its turn comes.
    ///
    /// Zero or less still succeeds if nobody is inside. Over 584 years wait forever.
    public var quiesceDeadline: Duration

    /// The complete list of the private guest ranges, in address space 0 and any order; `nil` leaves
    /// them as they are. They change with the slots at one instant, while vCPUs are held. No hook gets
    /// them, or is called for them.
    ///
    /// Ranges are multiples of ``Capabilities/pageSize``, not empty, end at
    /// ``Capabilities/maxGuestPage`` at the latest, and share no page; adjacent ones are merged. Without
    /// ``Capabilities/memoryAttributes`` there is none. Else the submit throws
    /// ``SubmitError/invalid(_:)``, with paths that begin with `attributes`.
    public var privateRanges: [GuestRange]?

    /// The deadline if none is given: a second.
    public static let defaultQuiesceDeadline: Duration = .seconds(1)

    /// Creates options; by default for any generation, with vCPUs held out if needed, for at most
    /// a second.
    public init(
        expectedGeneration: Generation? = nil, quiesce: Quiesce = .auto,
        quiesceDeadline: Duration = SubmitOptions.defaultQuiesceDeadline
    ) {
        self.expectedGeneration = expectedGeneration
        (self.quiesce, self.quiesceDeadline) = (quiesce, quiesceDeadline)
    }
}
