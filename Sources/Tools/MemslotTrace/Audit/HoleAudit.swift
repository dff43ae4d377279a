public import Memslots

/// Guest memory that was mapped before and after a transaction, and missing for a while between.
public struct Hole: Hashable, Sendable {
    /// The address space.
    public var addressSpace: AddressSpaceID
    /// The first byte.
    public var start: GuestPhysicalAddress
    /// Bytes, never 0.
    public var size: ByteCount
    /// The line of the call that took the memory away.
    public var takenOnLine: Int
    /// The line of the call that brought it back.
    public var returnedOnLine: Int
    /// How long it was missing: from the one line's time to the other's. `nil` in a log without
    /// times. strace stretches what it records, so this is an upper bound of what a VMM does
    /// when it is not traced.
    public var nanoseconds: UInt64?
    /// Whether another thread was in the guest meanwhile.
    public var guest: GuestActivity
}

/// The holes of one transaction.
///
/// Memory of one address space is compared with that of the same one only. What the kernel itself
/// hides within one `DELETE` or `MOVE` call is not in an strace log, and not in here.
public struct HoleAudit: Hashable, Sendable {
    /// The holes, in the order in which they were closed. Where memory was missing twice, it
    /// stands twice.
    public var holes: [Hole] = []
    /// How much memory was missing at some moment; each byte once.
    public var missing: ByteCount = .zero
    /// How long the memory that was missing the longest in one stretch was missing.
    public var longestNanoseconds: UInt64?
    /// How long some of it was missing: the length of the union of all stretches.
    public var totalNanoseconds: UInt64?
    /// Whether another thread was in the guest during any of them.
    public var guest: GuestActivity = .notRunning

    /// Whether nothing was missing.
    public var isSeamless: Bool { holes.isEmpty }
}
