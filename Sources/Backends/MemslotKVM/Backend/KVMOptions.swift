import CKVM
public import Memslots

/// The options of a ``KVMBackend``. For an adopted VM they describe what is in force.
public struct KVMOptions: Hashable, Sendable {
    /// The dirty log's mode: set for a VM of our own, already in force for an adopted one.
    public var dirtyLog: DirtyLogMode
    /// The guest ranges that KVM reserves for itself. `nil`: ``ReservedRanges/ownVM`` for a VM of
    /// our own; for an adopted one ``ReservedRanges/kernelDefault``, without those that an
    /// installed slot overlaps.
    public var reservedRanges: [Range<GuestPhysicalAddress>]?
    /// Whether a deletion or a move drops the mappings of its own slot alone, instead of every
    /// vCPU's mappings of all slots. It applies for the VM's whole life.
    /// Kernel: `KVM_X86_QUIRK_SLOT_ZAP_ALL` switched off by `KVM_CAP_DISABLE_QUIRKS2`.
    public var keepsOtherMappings: Bool

    /// Creates options; the defaults are the kernel's.
    public init(
        dirtyLog: DirtyLogMode = .clearedByReading,
        reservedRanges: [Range<GuestPhysicalAddress>]? = nil, keepsOtherMappings: Bool = false
    ) {
        (self.dirtyLog, self.reservedRanges) = (dirtyLog, reservedRanges)
        self.keepsOtherMappings = keepsOtherMappings
    }
}

/// How KVM keeps a VM's dirty log. The mode cannot be read back from a VM.
public enum DirtyLogMode: Hashable, Sendable {
    /// Reading a log clears it. Every VM starts in this mode.
    case clearedByReading
    /// Reading does not clear a log; a second call does.
    /// Kernel: `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2` with 1.
    case manual
    /// As ``manual``, and a slot that starts to log starts with every page dirty.
    /// Kernel: `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2` with 3.
    case manualInitiallySet
    /// Each vCPU has a ring of `bytes`, and the kernel has no bitmaps. A power of two, at least a
    /// page, at most ``KVMCapabilities/maxDirtyRing``. Kernel: `KVM_CAP_DIRTY_LOG_RING`.
    case ring(bytes: UInt32)

    fileprivate var hasBitmaps: Bool { if case .ring = self { false } else { true } }
}

extension KVMCapabilities {
    /// Sets the mode of a dirty log, on a VM without slots and vCPUs.
    func enable(_ mode: DirtyLogMode, of vm: VirtualMachine) throws(KVMError) {
        switch mode {
        case .clearedByReading: return
        case .manual, .manualInitiallySet:
            guard hasManualDirtyLog, mode == .manual || hasInitiallySetDirtyLog else {
                throw .unsupportedOption(missing: .manualDirtyLogProtect2)
            }
            try vm.enable(.manualDirtyLogProtect2, mode == .manual ? 1 : 3)
        case .ring(let bytes):
            guard let dirtyRing else { throw .unsupportedOption(missing: .dirtyLogRingAcqRel) }
            try vm.enable(dirtyRing, UInt64(bytes))
        }
    }

    /// Makes sure that an adopted VM keeps its dirty log in `mode`. Only rings can be found without a
    /// change. The manual modes are set again: reading would otherwise clear what is to stay.
    func confirm(_ mode: DirtyLogMode, of vm: VirtualMachine) throws(KVMError) {
        // EINVAL, or ENOTTY of older kernels, without rings; with rings a signal can interrupt it.
        let errno = failure(of: ckvm_reset_dirty_rings(vm.descriptor))
        let hasRings = errno == nil || errno?.rawValue == EINTR
        guard hasRings != mode.hasBitmaps else { throw .dirtyLogDiffers(mode) }
        if mode.hasBitmaps { try enable(mode, of: vm) }
    }

    /// If `wanted`, switches off the quirk by which a deletion drops the mappings of all slots.
    mutating func keepOtherMappings(_ wanted: Bool, of vm: VirtualMachine) throws(KVMError) {
        guard wanted, dropsAllMappings != false else { return }
        guard canKeepOtherMappings else { throw .unsupportedOption(missing: .disableQuirks2) }
        try vm.enable(.disableQuirks2, UInt64(CKVM_X86_QUIRK_SLOT_ZAP_ALL))
        dropsAllMappings = false
    }
}

extension Capabilities {
    /// The limits of `vm` that arrays are validated against.
    init(
        of vm: VirtualMachine, kernel: KVMCapabilities, options: KVMOptions,
        reservedRanges: [Range<GuestPhysicalAddress>]
    ) throws(KVMError) {
        let limits = try vm.system.limits()
        var flags: MemslotFlags = [.logDirtyPages]
        if vm.value(of: .readOnlyMemory) > 0 { flags.insert(.readOnly) }
        if kernel.hasGuestMemfd { flags.insert(.guestMemfd) }
        // A kernel without the capability has 32.
        let slots = vm.value(of: .memorySlots)
        self.init(
            maxSlots: slots > 0 ? UInt32(slots) : 32,
            addressSpaces: UInt32(max(1, vm.value(of: .multiAddressSpace))),
            maxGuestPage: limits.maxGuestPage, userspaceEnd: limits.userspaceEnd, flags: flags,
            pageSize: limits.pageSize, facts: limits.facts, reservedRanges: reservedRanges,
            sharesGuestMemfd: kernel.sharesGuestMemfd,
            dirtyLogStartsFull: options.dirtyLog == .manualInitiallySet,
            // Upstream e0c378684b65. Older stable kernels may have it, but do not show it.
            deletesAtOneInstant: Self.hostDeletesAtOneInstant
                && vm.value(of: .setGuestDebug2) > 0,
            kernelMemory: KernelSlotMemory(
                shadowsPages: ShadowPaging.isUsed, hasBitmaps: options.dirtyLog.hasBitmaps,
                pageSize: limits.pageSize))
        memoryAttributes =
            addressSpaces == 1 && kernel.memoryAttributes & CKVM_MEMORY_ATTRIBUTE_PRIVATE != 0
    }
}
