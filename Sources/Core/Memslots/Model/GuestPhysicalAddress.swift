/// An address in the guest's physical address space.
public struct GuestPhysicalAddress: MemslotQuantity {
    /// The address in bytes.
    public var rawValue: UInt64

    /// Wraps `rawValue`.
    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The number of the guest page (the kernel's gfn) that holds this address.
    @inlinable
    public var pageNumber: UInt64 { rawValue / pageSize.rawValue }

    /// The address `count` bytes further, or `nil` where that wraps 2^64.
    @inlinable
    public func advanced(by count: ByteCount) -> GuestPhysicalAddress? {
        let (sum, wrapped) = rawValue.addingReportingOverflow(count.rawValue)
        return wrapped ? nil : GuestPhysicalAddress(rawValue: sum)
    }
}
