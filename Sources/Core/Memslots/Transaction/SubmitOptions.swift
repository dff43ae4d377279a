/// How a transaction is to be carried out.
public struct SubmitOptions: Hashable, Sendable {
    /// When vCPUs are held out of the guest.
    public enum Quiesce: String, CaseIterable, Hashable, Sendable {
        /// Where the plan or a hook needs it: no vCPU ever misses a page that both arrays map.
        case auto
        /// For every plan, so that additions appear at once too.
        case always
    }

    /// Commit only if this is still the generation: a compare-and-swap. `nil` commits on any.
    public var expectedGeneration: Generation?
    /// When vCPUs are held out.
    public var quiesce: Quiesce
    /// How long to wait for readers and vCPUs to leave, in milliseconds, both together.
    public var quiesceDeadlineMilliseconds: UInt64

    /// How long is waited by default, in milliseconds.
    public static let defaultDeadlineMilliseconds: UInt64 = 1_000

    /// Options; by default on any generation, vCPUs held out where needed, for at most a second.
    public init(
        expectedGeneration: Generation? = nil,
        quiesce: Quiesce = .auto,
        quiesceDeadlineMilliseconds: UInt64 = SubmitOptions.defaultDeadlineMilliseconds
    ) {
        self.expectedGeneration = expectedGeneration
        self.quiesce = quiesce
        self.quiesceDeadlineMilliseconds = quiesceDeadlineMilliseconds
    }
}
