import CKVM

/// What a VM's kernel can do beyond what an array is validated against.
public struct KVMCapabilities: Hashable, Sendable {
    /// Whether slots are set by `KVM_SET_USER_MEMORY_REGION2`.
    public var hasRegion2: Bool
    /// Whether a guest_memfd can stand behind a slot.
    public var hasGuestMemfd: Bool
    /// The flags that a guest_memfd may be made with.
    public var guestMemfdFlags: UInt64
    /// The largest dirty ring in bytes; 0 where there is none.
    public var maxDirtyRing: UInt64
    /// Which of the kernel's capabilities a dirty ring is switched on by.
    var dirtyRing: KVMCapability?
    /// Whether reading a dirty log can leave it as it is.
    public var hasManualDirtyLog: Bool
    /// Whether slots can start to log with every page dirty.
    public var hasInitiallySetDirtyLog: Bool
    /// The attributes of `KVM_SET_MEMORY_ATTRIBUTES`, as bits.
    public var memoryAttributes: UInt64
    /// Which types of VM there are, as bits.
    public var vmTypes: UInt64
    /// How many vCPUs a VM may have.
    public var maxVCPUs: Int
    /// Whether a deletion or a move can be made to cost only the slot concerned.
    /// Kernel: `KVM_X86_QUIRK_SLOT_ZAP_ALL`, since 6.12.
    public var canKeepOtherMappings: Bool
    /// Whether deleting or moving a slot costs every vCPU its mappings of all slots;
    /// `nil` for a VM taken over, of which it can't be read back.
    public var dropsAllMappings: Bool?

    /// Asks the kernel.
    public init(of vm: VirtualMachine) {
        func bits(_ capability: KVMCapability) -> UInt64 { UInt64(vm.value(of: capability)) }
        self.hasRegion2 = bits(.userMemory2) > 0
        self.hasGuestMemfd = hasRegion2 && bits(.guestMemfd) > 0
        self.guestMemfdFlags = hasGuestMemfd ? bits(.guestMemfdFlags) : 0
        let ring: KVMCapability? =
            bits(.dirtyLogRingAcqRel) > 0
            ? .dirtyLogRingAcqRel : bits(.dirtyLogRing) > 0 ? .dirtyLogRing : nil
        self.dirtyRing = ckvm_dirty_ring_page() == 0 ? nil : ring
        self.maxDirtyRing = dirtyRing.map(bits) ?? 0
        let manual = UInt32(truncatingIfNeeded: bits(.manualDirtyLogProtect2))
        self.hasManualDirtyLog = manual & CKVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE != 0
        self.hasInitiallySetDirtyLog = manual & CKVM_DIRTY_LOG_INITIALLY_SET != 0
        self.memoryAttributes = bits(.memoryAttributes)
        self.vmTypes = bits(.vmTypes)
        self.maxVCPUs = Int(bits(.maxVCPUs))
        #if arch(x86_64)
            let quirks = bits(.disableQuirks2)
            self.canKeepOtherMappings = quirks & UInt64(CKVM_X86_QUIRK_SLOT_ZAP_ALL) != 0
            self.dropsAllMappings = true
        #else
            self.canKeepOtherMappings = false
            self.dropsAllMappings = false
        #endif
    }
}
