import CKVM
public import Memslots

/// A vCPU of a VM: its descriptor and its shared page. Run it from one thread at a time.
///
/// `@unchecked Sendable`: the shared page belongs to the thread that runs the vCPU, except
/// `immediate_exit`, which is accessed atomically.
public final class VCPU: @unchecked Sendable {
    /// Its number in the VM.
    public let id: UInt32
    /// The page shared with the kernel, `struct kvm_run`. If this object mapped it, it stays mapped
    /// as long as this object lives.
    public let sharedPage: UnsafeMutableRawPointer
    /// 0 if this object did not map the page.
    private let mappedBytes: Int
    private let file: OwnedDescriptor

    /// Its descriptor.
    public var descriptor: Int32 { file.number }

    init(of vm: VirtualMachine, id: UInt32) throws(KVMError) {
        let descriptor = try vm.check(ckvm_create_vcpu(vm.descriptor, UInt(id)), "KVM_CREATE_VCPU")
        (self.id, self.file) = (id, OwnedDescriptor(adopting: descriptor))
        let bytes = try checkCall(
            "KVM_GET_VCPU_MMAP_SIZE", ckvm_get_vcpu_mmap_size(vm.system.descriptor))
        var mapped: UnsafeMutableRawPointer?
        try checkCall("mmap of a vCPU", ckvm_map(descriptor, Int(bytes), 0, &mapped))
        guard let mapped else { throw .callFailed(call: "mmap of a vCPU", errno: .badAddress) }
        (self.mappedBytes, self.sharedPage) = (Int(bytes), mapped)
        #if arch(x86_64)
            try VCPU.setHostFeatures(of: descriptor, system: vm.system)
        #elseif arch(arm64)
            try vm.check(ckvm_init_vcpu(vm.descriptor, descriptor), "KVM_ARM_VCPU_INIT")
        #else
            #error("name what a new vCPU needs on this machine")
        #endif
    }

    /// Adopts a vCPU that the VMM created and mapped. It stays the VMM's.
    ///
    /// - Parameters:
    ///   - descriptor: the vCPU's descriptor; never closed here.
    ///   - sharedPage: its mapped `struct kvm_run`; never unmapped here.
    ///   - id: its number in the VM.
    public init(adopting descriptor: Int32, sharedPage: UnsafeMutableRawPointer, id: UInt32) {
        (self.id, self.sharedPage, mappedBytes) = (id, sharedPage, 0)
        file = OwnedDescriptor(adopting: descriptor, closes: false)
    }

    deinit { if mappedBytes > 0 { munmap(sharedPage, mappedBytes) } }

    /// Runs the guest until it leaves. First completes an access that the last exit left open.
    ///
    /// Kernel: `KVM_RUN`, api.rst 4.10.
    ///
    /// - Throws: an errno other than `EINTR` and `EAGAIN`, which are exits.
    ///   `EFAULT`: a slot is not backed by user memory.
    public func run() throws(Errno) -> VCPUExit {
        let result = ckvm_run(descriptor)
        if result == -EINTR { return .interrupted }
        if result == -EAGAIN { return .notReady }
        if result == 0 { return VCPUExit(sharedPage: sharedPage) }
        // After a failed emulation there may be both an errno and an exit. The errno is thrown.
        throw Errno(rawValue: -result)
    }

    /// Sets the value of the guest's read, before the next ``run()``. Only after
    /// ``VCPUExit/mmio(_:)``.
    public func completeMMIORead(with value: UInt64) { ckvm_set_mmio_value(sharedPage, value) }

    /// Whether the next ``run()`` leaves at once. Any thread may set it; only the vCPU's thread may
    /// clear it, or a request of another thread is lost. An embedder calls ``GuardedVCPU/kick()``.
    public package(set) var exitsImmediately: Bool {
        get { ckvm_immediate_exit(sharedPage) != 0 }
        set { ckvm_set_immediate_exit(sharedPage, newValue ? 1 : 0) }
    }
}

/// Keeps the vCPU of a VMM for one registration in this process: it has one gate, one kick and one
/// reader of its dirty ring.
package final class VCPUReservation: Sendable {
    private static let descriptors = Locked<[Int32]>([])
    private let descriptor: Int32

    /// Reserves the vCPU behind `descriptor`; `nil` if it is reserved, also by another descriptor of it.
    package init?(_ descriptor: Int32) {
        let isNew = Self.descriptors.withLock { list in
            let isNew = !list.contains { ckvm_is_same_file($0, descriptor) == 1 }
            if isNew { list.append(descriptor) }
            return isNew
        }
        // Before the object is complete: the end of a complete one would end the other's reservation.
        guard isNew else { return nil }
        self.descriptor = descriptor
    }

    deinit { Self.descriptors.withLock { list in list.removeAll { $0 == descriptor } } }
}

extension VirtualMachine {
    /// Creates a vCPU with the features of the host.
    ///
    /// If the VM has dirty rings, nobody drains the ring of this vCPU: use
    /// ``KVMBackend/makeVCPU(id:)`` there.
    ///
    /// Kernel: `KVM_CREATE_VCPU`, api.rst 4.7.
    ///
    /// - Parameter id: its number, from 0, unique in the VM.
    package func makeVCPU(id: UInt32) throws(KVMError) -> VCPU { try VCPU(of: self, id: id) }
}

extension KVMBackend {
    /// Creates a vCPU whose dirty ring, if it has one, this backend empties.
    public func makeVCPU(id: UInt32) throws(KVMError) -> VCPU {
        let vcpu = try vm.makeVCPU(id: id)
        try watchDirtyRing(ofVCPU: vcpu.descriptor)
        return vcpu
    }

    /// Checks that a descriptor is of a vCPU that the VMM created, and makes this backend empty its
    /// dirty ring if it has one.
    ///
    /// KVM has no call that returns the VM of a vCPU, so a vCPU of another VM is found only by its
    /// dirty ring.
    /// - Parameter descriptor: the vCPU's; it may be closed later.
    /// - Throws: ``KVMError/noVCPU(_:)``, or ``KVMError/dirtyLogDiffers(_:)`` if its ring has another size.
    public func watchDirtyRing(ofVCPU descriptor: Int32) throws(KVMError) {
        if let errno = failure(of: ckvm_check_vcpu(descriptor)) {
            guard errno != .ioError else { throw vm.explanation(of: errno, from: "ioctl") }
            throw .noVCPU(errno)
        }
        try rings?.add(vcpu: descriptor)
    }

    /// Empties all vCPUs' dirty rings. Call it from any thread.
    ///
    /// - Throws: the errno of `KVM_RESET_DIRTY_RINGS`; no bit is lost.
    public func collectDirtyRings() throws(Errno) { try rings?.collect() }

    /// Empties all vCPUs' dirty rings after ``VCPUExit/dirtyRingFull``. Then run the vCPU again.
    ///
    /// Rarely the kernel overwrites entries before it stops the vCPU. Then every page of every
    /// logging slot is reported dirty.
    /// - Parameter descriptor: the vCPU's, with which its ring was registered.
    /// - Throws: the errno of `KVM_RESET_DIRTY_RINGS`; no bit is lost.
    public func collectDirtyRings(afterFullRingOf descriptor: Int32) throws(Errno) {
        try rings?.collect(full: descriptor)
    }
}
