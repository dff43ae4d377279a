/// How KVM keeps a VM's dirty log. It can't be read back from a VM.
public enum DirtyLogMode: Hashable, Sendable {
    /// Reading a log clears it: what every VM starts with.
    case clearedByReading
    /// Reading leaves the log, a second call clears it.
    /// Kernel: `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2` with 1.
    case manual
    /// As ``manual``, and a slot that starts to log starts with every page dirty.
    /// Kernel: `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2` with 3.
    case manualInitiallySet
    /// Each vCPU has a ring of `bytes`; there are no bitmaps in the kernel. A power of two, at
    /// least a page, at most ``KVMCapabilities/maxDirtyRing``. Kernel: `KVM_CAP_DIRTY_LOG_RING`.
    case ring(bytes: UInt32)

    /// The argument of `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2`.
    var manualProtect: UInt64 {
        switch self {
        case .clearedByReading, .ring: 0
        case .manual: 1
        case .manualInitiallySet: 3
        }
    }
}
