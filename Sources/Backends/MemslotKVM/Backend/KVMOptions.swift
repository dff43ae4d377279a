public import Memslots

/// What a ``KVMBackend`` is to do with its VM, or to believe of it.
public struct KVMOptions: Hashable, Sendable {
    /// The dirty log's mode: switched on for a VM of our own, in force already on one taken over.
    public var dirtyLog: DirtyLogMode
    /// Guest ranges that KVM keeps for itself. `nil`: ``ReservedRanges/ownVM`` for a VM of our
    /// own; ``ReservedRanges/kernelDefault`` for one taken over, less what a slot stands in.
    public var reservedRanges: [Range<GuestPhysicalAddress>]?
    /// Whether a deletion or a move shall cost only the slot concerned, not every vCPU its
    /// mappings of all slots. For the VM's whole life.
    /// Kernel: `KVM_X86_QUIRK_SLOT_ZAP_ALL` switched off by `KVM_CAP_DISABLE_QUIRKS2`.
    public var keepsOtherMappings: Bool

    /// The kernel's own defaults.
    public init(
        dirtyLog: DirtyLogMode = .clearedByReading,
        reservedRanges: [Range<GuestPhysicalAddress>]? = nil,
        keepsOtherMappings: Bool = false
    ) {
        self.dirtyLog = dirtyLog
        self.reservedRanges = reservedRanges
        self.keepsOtherMappings = keepsOtherMappings
    }
}
