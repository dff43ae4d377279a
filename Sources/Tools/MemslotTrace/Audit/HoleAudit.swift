package import Memslots

/// Guest memory that was mapped before and after a transaction, and missing for a while between.
package struct Hole: Hashable, Sendable {
    /// The address space.
    package var addressSpace: AddressSpaceID
    /// The first byte.
    package var start: GuestPhysicalAddress
    /// Bytes, never 0.
    package var size: ByteCount
    /// The line of the call that took the memory away.
    package var takenOnLine: Int
    /// The line of the call that brought it back.
    package var returnedOnLine: Int
    /// How long it was missing: from the one line's time to the other's. `nil` in a log without
    /// times. strace stretches what it records, so this is an upper bound of what a VMM does
    /// when it is not traced.
    package var nanoseconds: UInt64?
    /// Whether another thread was in the guest meanwhile.
    package var guest: GuestActivity
}

/// The holes of one transaction.
///
/// Memory of one address space is compared with that of the same one only. What the kernel itself
/// hides within one `DELETE` or `MOVE` call is not in an strace log, and not in here.
package struct HoleAudit: Hashable, Sendable {
    /// The holes, in the order in which they were closed. Where memory was missing twice, it
    /// stands twice.
    package var holes: [Hole] = []
    /// How much memory was missing at some moment; each byte once.
    package var missing: ByteCount = .zero
    /// How long the memory that was missing the longest in one stretch was missing.
    package var longestNanoseconds: UInt64?
    /// How long some of it was missing: the length of the union of all stretches.
    package var totalNanoseconds: UInt64?
    /// Whether another thread was in the guest during any of them.
    package var guest: GuestActivity = .notRunning

    /// Whether nothing was missing.
    package var isSeamless: Bool { holes.isEmpty }
}
