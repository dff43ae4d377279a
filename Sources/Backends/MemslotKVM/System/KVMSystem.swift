import CKVM
public import Memslots

/// The host's KVM: the open device, its capabilities and limits, and the source of VMs.
public final class KVMSystem: Sendable {
    private let device: Descriptor
    private let measured = Locked<KVMLimits?>(nil)

    /// The descriptor of the device.
    public var descriptor: Int32 { device.rawValue }

    /// Opens the device and checks that it is new enough.
    ///
    /// - Parameter path: the device, `/dev/kvm` on every distribution.
    /// - Throws: what is missing. The error's ``KVMError/message`` says what to do.
    public init(path: String = "/dev/kvm") throws(KVMError) {
        let opened = CallResult(ckvm_open(path))
        if let errno = opened.errno { throw Self.openError(errno, path: path) }
        self.device = Descriptor(opened.rawValue)
        let version = CallResult(ckvm_get_api_version(opened.rawValue))
        // Another kind of device returns ENOTTY.
        guard version.errno == nil else { throw .deviceMissing(path: path) }
        guard version.rawValue == KVM_API_VERSION else {
            throw .unsupportedVersion(version.rawValue)
        }
        let needed: [KVMCapability] = [
            .userMemory, .destroyMemoryRegionWorks, .joinMemoryRegionsWorks, .immediateExit,
        ]
        for capability in needed where value(of: capability) <= 0 {
            throw .kernelTooOld(missing: capability)
        }
    }

    /// Returns why KVM cannot be used, or `nil` if it can. Opens the device and closes it again.
    public static func unavailability(path: String = "/dev/kvm") -> KVMError? {
        do throws(KVMError) {
            _ = try KVMSystem(path: path).makeVirtualMachine()
            return nil
        } catch {
            return error
        }
    }

    /// The value of `capability` on the device; 0 if the kernel lacks it.
    ///
    /// Kernel: `KVM_CHECK_EXTENSION`, api.rst 4.4.
    public func value(of capability: KVMCapability) -> Int32 {
        max(0, ckvm_check_extension(descriptor, Int(capability.rawValue)))
    }

    /// Creates a VM of the default type, which only this process may change.
    ///
    /// Kernel: `KVM_CREATE_VM`, api.rst 4.2.
    public func makeVirtualMachine() throws(KVMError) -> VirtualMachine {
        let descriptor = try CallResult(ckvm_create_vm(self.descriptor, 0))
            .value(of: "KVM_CREATE_VM")
        return VirtualMachine(
            system: self, descriptor: Descriptor(descriptor),
            creator: ckvm_process())
    }

    /// Returns the limits that no capability reports; the first call measures them.
    ///
    /// Cost: about 200 slot calls on a scratch VM for the first call, 3 ms.
    public func limits() throws(KVMError) -> KVMLimits {
        if let known = measured.withLock({ $0 }) { return known }
        let limits = try KVMLimits(measuring: self)
        measured.withLock { $0 = limits }
        return limits
    }

    static func openError(_ errno: Errno, path: String) -> KVMError {
        switch errno.name {
        case "EACCES", "EPERM": .permissionDenied(path: path)
        case "ENOENT", "ENODEV", "ENXIO", "ENOTDIR": .deviceMissing(path: path)
        default: .callFailed(call: "open " + path, errno: errno)
        }
    }
}

/// Limits of a host that no capability reports, found with slots on a scratch VM.
public struct KVMLimits: Hashable, Sendable {
    /// The largest guest page number (gfn). It depends on the host.
    /// Kernel: `kvm_mmu_max_gfn`.
    public let maxGuestPage: UInt64
    /// The first address past user space. Kernel: `access_ok`.
    public let userspaceEnd: UserspaceAddress

    /// Larger than every page number of a 64-bit address.
    private static let pageNumbers: UInt64 = 1 << 52

    /// Measures both by bisection. The last page of 2^64 bytes is left out, as KVM does.
    init(measuring system: KVMSystem) throws(KVMError) {
        let scratch = try system.makeVirtualMachine()
        let end = Self.pageNumbers - 1
        // KVM does not access the user memory, so address 0 serves.
        self.maxGuestPage = try Self.last(below: end) { (page) throws(KVMError) in
            try Self.accepts(page * pageSize.rawValue, userspaceAddress: 0, on: scratch)
        }
        let lastPage = try Self.last(below: end) { (page) throws(KVMError) in
            try Self.accepts(0, userspaceAddress: page * pageSize.rawValue, on: scratch)
        }
        self.userspaceEnd = UserspaceAddress((lastPage + 1) * pageSize.rawValue)
    }

    /// The last accepted number below `end`. All numbers before it, and 0, are accepted.
    private static func last(
        below end: UInt64, accepts: (UInt64) throws(KVMError) -> Bool
    ) throws(KVMError) -> UInt64 {
        var accepted: UInt64 = 0
        var refused = end
        while refused - accepted > 1 {
            let middle = accepted + (refused - accepted) / 2
            if try accepts(middle) { accepted = middle } else { refused = middle }
        }
        return accepted
    }

    private static func accepts(
        _ address: UInt64, userspaceAddress: UInt64, on vm: VirtualMachine
    ) throws(KVMError) -> Bool {
        var words = RegionWords(
            slot: 0, address: address, size: pageSize.rawValue, userspaceAddress: userspaceAddress)
        if let errno = words.apply(to: vm.descriptor, byRegion2: false) {
            guard errno == .invalidArgument else {
                throw vm.explanation(of: errno, from: "KVM_SET_USER_MEMORY_REGION")
            }
            return false
        }
        words.size = 0
        if let errno = words.apply(to: vm.descriptor, byRegion2: false) {
            throw vm.explanation(of: errno, from: "KVM_SET_USER_MEMORY_REGION")
        }
        return true
    }
}
