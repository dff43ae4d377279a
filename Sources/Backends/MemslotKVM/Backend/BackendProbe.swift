import CKVM
import Memslots

extension Capabilities {
    /// Probes all that validation needs.
    init(
        of vm: VirtualMachine, kernel: KVMCapabilities, options: KVMOptions,
        reservedRanges: [Range<GuestPhysicalAddress>]
    ) throws(KVMError) {
        let limits = try vm.system.limits()
        var flags: MemslotFlags = [.logDirtyPages]
        if vm.value(of: .readOnlyMemory) > 0 { flags.insert(.readOnly) }
        if kernel.hasGuestMemfd { flags.insert(.guestMemfd) }
        // 32 is what a kernel without the capability has.
        let slots = vm.value(of: .memorySlots)
        self.init(
            maxSlots: slots > 0 ? UInt32(slots) : 32,
            addressSpaces: UInt32(max(1, vm.value(of: .multiAddressSpace))),
            maxGuestPage: limits.maxGuestPage,
            userspaceEnd: limits.userspaceEnd,
            flags: flags,
            reservedRanges: reservedRanges,
            dirtyLogStartsFull: options.dirtyLog == .manualInitiallySet)
    }
}

extension KVMCapabilities {
    /// Switches a dirty log's mode on, on a VM without slots and vCPUs.
    func switchOn(_ mode: DirtyLogMode, of vm: VirtualMachine) throws(KVMError) {
        switch mode {
        case .clearedByReading:
            return
        case .manual, .manualInitiallySet:
            guard hasManualDirtyLog, mode == .manual || hasInitiallySetDirtyLog else {
                throw .unsupportedOption(missing: .manualDirtyLogProtect2)
            }
            try vm.enable(.manualDirtyLogProtect2, mode.manualProtect)
        case .ring(let bytes):
            guard let dirtyRing else {
                throw .unsupportedOption(missing: .dirtyLogRingAcqRel)
            }
            try vm.enable(dirtyRing, UInt64(bytes))
        }
    }

    /// Switches the quirk off by which a deletion drops the mappings of all slots, if `wanted`.
    mutating func keepOtherMappings(_ wanted: Bool, of vm: VirtualMachine) throws(KVMError) {
        guard wanted, dropsAllMappings != false else { return }
        guard canKeepOtherMappings else { throw .unsupportedOption(missing: .disableQuirks2) }
        try vm.enable(.disableQuirks2, UInt64(CKVM_X86_QUIRK_SLOT_ZAP_ALL))
        dropsAllMappings = false
    }
}
