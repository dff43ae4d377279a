/// The KVM address space that a memslot lives in.
///
/// 0 is the guest's ordinary memory; 1, where the host has it, is what an x86 vCPU sees in
/// system management mode. Slots of different address spaces are unrelated: own ids, own
/// overlap rule. It is the upper 16 bits of the kernel's `slot`.
/// Kernel: `KVM_CAP_MULTI_ADDRESS_SPACE`.
public struct AddressSpaceID: MemslotInteger {
    /// The number.
    public var rawValue: UInt32

    /// Wraps `rawValue`.
    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The guest's ordinary memory.
    public static let main = AddressSpaceID(rawValue: 0)

    /// The number in decimal.
    public var description: String { String(rawValue) }
}
