/// Which of the two guests runs.
package enum GuestKind: String, Hashable, Sendable, CaseIterable {
    /// 16-bit real mode. On a nested host without hardware paging KVM's emulator runs it, so
    /// that every access goes through KVM's own lookups.
    case real
    /// 64-bit long mode at privilege level 3, which the processor runs.
    case long
}
