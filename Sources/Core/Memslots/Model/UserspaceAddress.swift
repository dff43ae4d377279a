/// An address in the user address space of the process that owns the VM.
///
/// Kernel: `userspace_addr` (hva). KVM never looks whether anything is mapped there.
public struct UserspaceAddress: MemslotQuantity {
    /// The address in bytes.
    public var rawValue: UInt64

    /// Wraps `rawValue`.
    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The address `count` bytes further, or `nil` where that wraps 2^64.
    @inlinable
    public func advanced(by count: ByteCount) -> UserspaceAddress? {
        let (sum, wrapped) = rawValue.addingReportingOverflow(count.rawValue)
        return wrapped ? nil : UserspaceAddress(rawValue: sum)
    }
}
