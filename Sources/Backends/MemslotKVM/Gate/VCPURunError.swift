public import Memslots

/// Why a guest could not be run.
public enum VCPURunError: Error, Hashable, Sendable {
    /// Tried from a place in which it would wait for itself; nothing was run.
    case reentrant(ReentryError)
    /// `KVM_RUN` failed. `EFAULT`: a slot has no user memory behind it. Kicks stay pending.
    case failed(Errno)
}
