/// Who wants a vCPU out of the guest; a bit each, so that none takes another's.
public struct KickRequests: OptionSet, Hashable, Sendable {
    /// The bits.
    public let rawValue: UInt32

    /// Wraps the bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The gate, for a transaction.
    public static let gate = KickRequests(rawValue: 1 << 0)
    /// The VMM, for its own ends.
    public static let embedder = KickRequests(rawValue: 1 << 1)
}
