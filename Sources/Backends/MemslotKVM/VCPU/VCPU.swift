import CKVM
public import Memslots

/// A vCPU of a VM: its descriptor and its shared page.
///
/// `@unchecked Sendable`: the shared page belongs to the thread that runs the vCPU, save
/// `immediate_exit`, which is only reached atomically. Run it from one thread at a time.
public final class VCPU: @unchecked Sendable {
    /// Its number in the VM.
    public let id: UInt32
    /// The kernel's shared page, `struct kvm_run`; mapped as long as this object lives, where this
    /// object mapped it.
    public let sharedPage: UnsafeMutableRawPointer
    /// 0 where the mapping is another's.
    private let mappedBytes: Int
    private let file: Descriptor

    /// Its descriptor.
    public var descriptor: Int32 { file.rawValue }

    init(of vm: VirtualMachine, id: UInt32) throws(KVMError) {
        let descriptor = try vm.check(
            ckvm_create_vcpu(vm.descriptor, UInt(id)), "KVM_CREATE_VCPU")
        self.id = id
        self.file = Descriptor(owning: descriptor)
        let bytes = try CallResult(ckvm_get_vcpu_mmap_size(vm.system.descriptor))
            .value(of: "KVM_GET_VCPU_MMAP_SIZE")
        var mapped: UnsafeMutableRawPointer?
        _ = try CallResult(ckvm_map(descriptor, Int(bytes), 0, &mapped)).value(of: "mmap of a vCPU")
        guard let mapped else { throw .callFailed(call: "mmap of a vCPU", errno: .badAddress) }
        self.mappedBytes = Int(bytes)
        self.sharedPage = mapped
        #if arch(x86_64)
            try VCPU.giveHostFeatures(to: descriptor, system: vm.system)
        #endif
    }

    /// Takes a vCPU that the VMM made and mapped, and goes on to own.
    ///
    /// - Parameters:
    ///   - descriptor: the vCPU's descriptor; never closed here.
    ///   - sharedPage: its mapped `struct kvm_run`; never unmapped here.
    ///   - id: its number in the VM.
    public init(
        adopting descriptor: Int32, sharedPage: UnsafeMutableRawPointer, id: UInt32
    ) {
        self.id = id
        self.file = Descriptor(borrowing: descriptor)
        self.mappedBytes = 0
        self.sharedPage = sharedPage
    }

    deinit { if mappedBytes > 0 { _ = ckvm_unmap(sharedPage, mappedBytes) } }

    /// Runs the guest until it leaves, completing first what the last exit left open.
    ///
    /// - Throws: an errno other than `EINTR` and `EAGAIN`, which are exits.
    ///   `EFAULT`: a slot has no user memory behind it.
    public func run() throws(Errno) -> VCPUExit {
        let result = ckvm_run(descriptor)
        if result == -EINTR { return .interrupted }
        if result == -EAGAIN { return .notReady }
        if result == 0 { return VCPUExit(sharedPage: sharedPage) }
        // A failed emulation may come with an errno and an exit beside it: the errno is told.
        throw Errno(rawValue: -result)
    }

    /// What the guest gets for its read, before the next ``run()``. Only after ``VCPUExit/mmio(_:)``.
    public func answerMMIO(_ value: UInt64) { ckvm_answer_mmio(sharedPage, value) }

    /// Whether the next ``run()`` leaves at once. Any thread may set it; only the vCPU's own may
    /// clear it, or another's request is lost. See ``VCPUKick``.
    public var leavesAtOnce: Bool {
        get { ckvm_immediate_exit(sharedPage) != 0 }
        set { ckvm_set_immediate_exit(sharedPage, newValue ? 1 : 0) }
    }
}

extension VirtualMachine {
    /// Makes a vCPU, on x86 with the features of the host.
    ///
    /// - Parameter id: its number, from 0; each once.
    public func makeVCPU(id: UInt32) throws(KVMError) -> VCPU { try VCPU(of: self, id: id) }
}

extension KVMBackend {
    /// Makes a vCPU whose dirty ring, where there is one, this backend drains.
    public func makeVCPU(id: UInt32) throws(KVMError) -> VCPU {
        let vcpu = try vm.makeVCPU(id: id)
        try watchDirtyRing(ofVCPU: vcpu.descriptor)
        return vcpu
    }

    /// Drains the dirty ring of a vCPU that the VMM made, from now on.
    ///
    /// Before it first runs. Does nothing in the modes without rings.
    /// - Parameter descriptor: the vCPU's; it may be closed later.
    public func watchDirtyRing(ofVCPU descriptor: Int32) throws(KVMError) {
        try rings?.add(vcpu: descriptor)
    }

    /// Empties all vCPUs' dirty rings. From any thread.
    ///
    /// - Throws: the errno of `KVM_RESET_DIRTY_RINGS`; no bit is lost.
    public func drainDirtyRings() throws(Errno) { try rings?.drain() }

    /// What a vCPU's thread does about ``VCPUExit/dirtyRingFull``; then it runs the vCPU again.
    ///
    /// Rarely the kernel writes over entries before it stops: then every page of every slot that
    /// logs is told as dirty.
    /// - Parameter descriptor: the vCPU's, as it was when its ring was registered.
    /// - Throws: the errno of `KVM_RESET_DIRTY_RINGS`; no bit is lost.
    public func drainDirtyRings(fullOfVCPU descriptor: Int32) throws(Errno) {
        try rings?.drain(full: descriptor)
    }
}
