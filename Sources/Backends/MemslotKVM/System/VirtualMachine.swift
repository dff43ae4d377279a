import CKVM
public import Memslots

/// A VM of the kernel: its descriptor, and the process that created it.
public final class VirtualMachine: Sendable {
    /// The host.
    public let system: KVMSystem
    /// The process that created the VM, if known. Only it may change the VM.
    public let creator: Int32?
    private let file: OwnedDescriptor

    /// The VM's descriptor.
    public var descriptor: Int32 { file.number }

    init(system: KVMSystem, file: OwnedDescriptor, creator: Int32?) {
        (self.system, self.file, self.creator) = (system, file, creator)
    }

    /// Adopts a VM that this process created by other means.
    ///
    /// - Parameters:
    ///   - descriptor: the VM's descriptor.
    ///   - closing: whether to close it with the last reference to this object.
    ///   - system: the host.
    ///   - creator: the process that created the VM, for error messages.
    public convenience init(
        adopting descriptor: Int32, closing: Bool = false, system: KVMSystem, creator: Int32? = nil
    ) {
        let file = OwnedDescriptor(adopting: descriptor, closes: closing)
        self.init(system: system, file: file, creator: creator)
    }

    /// The value of `capability` on this VM, which may differ from the device's; 0 if the kernel
    /// lacks it.
    public func value(of capability: KVMCapability) -> Int32 {
        max(0, ckvm_check_extension(descriptor, Int(capability.rawValue)))
    }

    /// Switches a capability on. Kernel: `KVM_ENABLE_CAP`.
    func enable(_ capability: KVMCapability, _ argument: UInt64) throws(KVMError) {
        let result = ckvm_enable_cap(descriptor, UInt32(capability.rawValue), argument)
        try check(result, "KVM_ENABLE_CAP(\(capability.kernelName))")
    }

    /// Creates a guest_memfd of this VM and returns its descriptor, which the caller closes.
    ///
    /// Kernel: `KVM_CREATE_GUEST_MEMFD`, api.rst 4.142.
    ///
    /// - Parameters:
    ///   - size: bytes; a multiple of the host's page, not 0.
    ///   - flags: bits of ``KVMCapabilities/guestMemfdFlags``.
    public func makeGuestMemfd(size: ByteCount, flags: UInt64 = 0) throws(KVMError) -> Int32 {
        let result = ckvm_create_guest_memfd(descriptor, size.rawValue, flags)
        return try check(result, "KVM_CREATE_GUEST_MEMFD")
    }

    /// Returns the value of a call on the VM, or throws what its errno means.
    @discardableResult
    func check(_ result: Int32, _ call: String) throws(KVMError) -> Int32 {
        if let errno = failure(of: result) { throw explanation(of: errno, from: call) }
        return result
    }

    func explanation(of errno: Errno, from call: String) -> KVMError {
        errno == .ioError
            ? .vmOfAnotherProcess(creator: creator == getpid() ? nil : creator)
            : .callFailed(call: call, errno: errno)
    }
}

/// The guest pages that KVM reserves for itself on x86.
///
/// With VMX, KVM has slots of its own there. Userspace does not see them and may not overlap them.
/// Kernel: `KVM_SET_TSS_ADDR`, `KVM_SET_IDENTITY_MAP_ADDR`, `APIC_DEFAULT_PHYS_BASE`.
public enum ReservedRanges {
    /// The ranges of a VM that ``KVMBackend`` created: the APIC's page, and QEMU's choice for the
    /// others.
    public static let ownVM: [Range<GuestPhysicalAddress>] = ranges(identityMap: 0xfeff_c000)

    /// The ranges of a VM with KVM's defaults: the APIC's page, the identity map at 0xfffbc000 and
    /// the task state after it.
    public static let kernelDefault: [Range<GuestPhysicalAddress>] =
        ranges(identityMap: 0xfffb_c000)

    /// The APIC's page, the identity map's at `identityMap` and the three pages after it.
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

    /// Places KVM's pages of a VM without vCPUs at ``ownVM``.
    static func place(in vm: VirtualMachine) throws(KVMError) {
        #if arch(x86_64)
            try vm.check(
                ckvm_set_identity_map_addr(vm.descriptor, 0xfeff_c000), "KVM_SET_IDENTITY_MAP_ADDR")
            try vm.check(ckvm_set_tss_addr(vm.descriptor, 0xfeff_d000), "KVM_SET_TSS_ADDR")
        #endif
    }
}
