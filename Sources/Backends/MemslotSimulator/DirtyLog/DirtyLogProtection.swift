/// Who clears the bits of a dirty log.
///
/// Kernel: `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2`; the raw value is its first argument.
public enum DirtyLogProtection: UInt64, Hashable, Sendable, CaseIterable {
    /// Reading a log clears it.
    case automatic = 0
    /// Reading leaves a log alone; `KVM_CLEAR_DIRTY_LOG` clears it.
    case manual = 1
    /// As ``manual``; and a slot that starts to log starts with every page dirty.
    /// Kernel: `KVM_DIRTY_LOG_INITIALLY_SET`.
    case manualInitiallySet = 3

    /// Whether a log that begins now has every page dirty.
    public var startsFull: Bool { self == .manualInitiallySet }
}
