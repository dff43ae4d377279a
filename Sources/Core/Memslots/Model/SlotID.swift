/// The id of a memslot within its address space.
///
/// Range: 0 up to `Capabilities.maxSlots` − 1, which is the low 16 bits of the kernel's `slot`.
/// Kernel: `KVM_CAP_NR_MEMSLOTS`, Documentation/virt/kvm/api.rst 4.35.
public struct SlotID: MemslotInteger {
    /// The number.
    public var rawValue: UInt32

    /// Wraps `rawValue`.
    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Stands in a submitted array for "the table picks the id"; never in a ``MemslotArray``.
    public static let unassigned = SlotID(rawValue: .max)

    /// The number in decimal.
    public var description: String { String(rawValue) }
}
