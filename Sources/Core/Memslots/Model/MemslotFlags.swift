/// The flags of a memslot that userspace may set.
///
/// Kernel: `KVM_MEM_*`, Documentation/virt/kvm/api.rst 4.35 and 4.140.
public struct MemslotFlags: OptionSet, Hashable, Sendable {
    /// The kernel's bits.
    public var rawValue: UInt32

    /// Wraps the kernel's bits.
    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The guest's writes are recorded, a bit a page. Kernel: `KVM_MEM_LOG_DIRTY_PAGES`.
    public static let logDirtyPages = MemslotFlags(rawValue: 1 << 0)
    /// The guest's writes exit to userspace. Kernel: `KVM_MEM_READONLY`.
    public static let readOnly = MemslotFlags(rawValue: 1 << 1)
    /// Private memory comes from a guest_memfd; such a slot can only be deleted.
    /// Kernel: `KVM_MEM_GUEST_MEMFD`, with `KVM_SET_USER_MEMORY_REGION2` only.
    public static let guestMemfd = MemslotFlags(rawValue: 1 << 2)

    /// Each flag with the name that the wire and the fixtures use, in the kernel's order.
    public static let names: [(flag: MemslotFlags, name: String)] = [
        (.logDirtyPages, "log-dirty-pages"),
        (.readOnly, "readonly"),
        (.guestMemfd, "guest-memfd"),
    ]

    /// The names of the flags that are set, in the kernel's order.
    public var names: [String] {
        Self.names.compactMap { contains($0.flag) ? $0.name : nil }
    }
}
