/// What a slot call turns out to be, by the slot that is there already.
///
/// Kernel: `enum kvm_mr_change`, include/linux/kvm_host.h, and the call that changes nothing.
public enum SlotChange: Hashable, Sendable, CaseIterable {
    /// A slot where the id was free.
    case create
    /// The slot is gone.
    case delete
    /// Another guest physical address, and perhaps another `log-dirty-pages`.
    case move
    /// Another `log-dirty-pages` alone.
    case flagsOnly
    /// The slot was as wanted already.
    case unchanged

    /// How often the kernel exchanges its two sets of slots, and waits for a grace period.
    public var swaps: UInt64 {
        switch self {
        case .create, .flagsOnly: 1
        case .delete, .move: 2
        case .unchanged: 0
        }
    }
}

/// The two calls that change a slot.
public enum SlotCallForm: Hashable, Sendable {
    /// `KVM_SET_USER_MEMORY_REGION`, which knows no guest_memfd.
    case region
    /// `KVM_SET_USER_MEMORY_REGION2`, since Linux 6.8.
    case region2
}
