import CKVM
public import Memslots

/// Guest pages that KVM keeps for itself in the guest's address space on x86.
///
/// Where there is VMX, KVM has slots of its own there, which userspace neither sees nor may
/// meet. Kernel: `KVM_SET_TSS_ADDR`, `KVM_SET_IDENTITY_MAP_ADDR`, `APIC_DEFAULT_PHYS_BASE`.
public enum ReservedRanges {
    /// Of a VM that ``KVMBackend`` made: the APIC's page, and where QEMU puts the rest.
    public static let ownVM: [Range<GuestPhysicalAddress>] = ranges(identityMap: 0xfeff_c000)

    /// Of a VM whose VMM left KVM's own addresses: the APIC's page, the identity map at
    /// 0xfffbc000 and the task state behind it.
    public static let kernelDefault: [Range<GuestPhysicalAddress>] =
        ranges(identityMap: 0xfffb_c000)

    /// The APIC's page, the identity map's at `identityMap` and the three pages behind it.
    private static func ranges(identityMap: UInt64) -> [Range<GuestPhysicalAddress>] {
        #if arch(x86_64)
            [
                GuestPhysicalAddress(0xfee0_0000)..<GuestPhysicalAddress(0xfee0_1000),
                GuestPhysicalAddress(identityMap)..<GuestPhysicalAddress(identityMap + 0x4000),
            ]
        #else
            []
        #endif
    }

    /// Puts KVM's pages of a VM without vCPUs where ``ownVM`` says they are.
    static func place(in vm: VirtualMachine) throws(KVMError) {
        #if arch(x86_64)
            try vm.check(
                ckvm_set_identity_map_addr(vm.descriptor, 0xfeff_c000),
                "KVM_SET_IDENTITY_MAP_ADDR")
            try vm.check(ckvm_set_tss_addr(vm.descriptor, 0xfeff_d000), "KVM_SET_TSS_ADDR")
        #endif
    }
}
