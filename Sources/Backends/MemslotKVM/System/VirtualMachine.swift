import CKVM
public import Memslots

/// A VM of the kernel's: its descriptor, and who made it.
public final class VirtualMachine: Sendable {
    /// The host that it runs on.
    public let system: KVMSystem
    /// The process that made it, where that is known. Only it may change the VM.
    public let creator: Int32?
    private let file: Descriptor

    /// The VM's descriptor.
    public var descriptor: Int32 { file.rawValue }

    init(system: KVMSystem, descriptor: Descriptor, creator: Int32?) {
        self.system = system
        self.file = descriptor
        self.creator = creator
    }

    /// Takes a VM that was made elsewhere in this process.
    ///
    /// - Parameters:
    ///   - descriptor: the VM's descriptor.
    ///   - closing: whether to close it with the last reference to this object.
    ///   - system: the host.
    ///   - creator: the process that made the VM, for errors to name it.
    public convenience init(
        adopting descriptor: Int32, closing: Bool = false, system: KVMSystem,
        creator: Int32? = nil
    ) {
        self.init(
            system: system,
            descriptor: closing
                ? Descriptor(owning: descriptor) : Descriptor(borrowing: descriptor),
            creator: creator)
    }

    /// The kernel's answer for `capability` on this VM, which may differ from the device's.
    public func value(of capability: KVMCapability) -> Int32 {
        max(0, ckvm_check_extension(descriptor, Int(capability.rawValue)))
    }

    /// Switches a capability on. Kernel: `KVM_ENABLE_CAP`.
    func enable(_ capability: KVMCapability, _ argument: UInt64) throws(KVMError) {
        let result = ckvm_enable_cap(descriptor, UInt32(capability.rawValue), argument)
        try check(result, "KVM_ENABLE_CAP(\(capability.kernelName))")
    }

    /// Makes a guest_memfd of this VM; the caller closes the descriptor.
    ///
    /// - Parameters:
    ///   - size: bytes; a multiple of 4096, not 0.
    ///   - flags: bits of ``KVMCapabilities/guestMemfdFlags``.
    public func makeGuestMemfd(size: ByteCount, flags: UInt64 = 0) throws(KVMError) -> Int32 {
        let result = ckvm_create_guest_memfd(descriptor, size.rawValue, flags)
        return try check(result, "KVM_CREATE_GUEST_MEMFD")
    }

    /// The value of a call on the VM. `EIO` is told as what it means.
    @discardableResult
    func check(_ result: Int32, _ call: String) throws(KVMError) -> Int32 {
        let result = CallResult(result)
        if let errno = result.errno { throw explanation(of: errno, from: call) }
        return result.rawValue
    }

    /// What an errno of a call on this VM means.
    func explanation(of errno: Errno, from call: String) -> KVMError {
        errno == .ioError
            ? .vmOfAnotherProcess(creator: creator == ckvm_process() ? nil : creator)
            : .callFailed(call: call, errno: errno)
    }
}
