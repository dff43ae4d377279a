import CKVM
import Glibc
public import Memslots

/// The host's KVM: the open device, its capabilities and limits, and the source of VMs.
public final class KVMSystem: Sendable {
    private let device: OwnedDescriptor
    private let measured = Locked<KVMLimits?>(nil)

    /// The descriptor of the device.
    public var descriptor: Int32 { device.number }

    /// Opens the device and checks that it is new enough.
    ///
    /// - Parameter path: the device, `/dev/kvm` on every distribution.
    /// - Throws: what is missing. The error's ``KVMError/message`` says what to do.
    public init(path: String = "/dev/kvm") throws(KVMError) {
        let opened = ckvm_open(path)
        if let errno = failure(of: opened) { throw Self.openError(errno, path: path) }
        self.device = OwnedDescriptor(adopting: opened)
        let version = ckvm_get_api_version(opened)
        // Another kind of device returns ENOTTY.
        guard version >= 0 else { throw .deviceMissing(path: path) }
        guard version == KVM_API_VERSION else { throw .unsupportedVersion(version) }
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
        let vm = try checkCall("KVM_CREATE_VM", ckvm_create_vm(descriptor, 0))
        return VirtualMachine(system: self, file: OwnedDescriptor(adopting: vm), creator: getpid())
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
    /// The bytes of a page of the host.
    public let pageSize: ByteCount
    /// The rules that differ between kernels, as this one has them.
    public let facts: KernelFacts

    /// Measures the limits by bisection. The last page of 2^64 bytes is left out, as KVM does.
    init(measuring system: KVMSystem) throws(KVMError) {
        let scratch = try system.makeVirtualMachine()
        let page = ckvm_page_size()
        let end = UInt64.max / page
        // KVM does not access the user memory, so address 0 serves.
        func refusal(_ address: UInt64, _ user: UInt64) throws(KVMError) -> Errno? {
            try Self.refusal(address, userspaceAddress: user, size: page, on: scratch)
        }
        self.maxGuestPage = try Self.last(below: end) { (number) throws(KVMError) in
            try refusal(number * page, 0) == nil
        }
        let lastPage = try Self.last(below: end) { (number) throws(KVMError) in
            try refusal(0, number * page) == nil
        }
        self.userspaceEnd = UserspaceAddress((lastPage + 1) * page)
        self.pageSize = ByteCount(page)
        self.facts = KernelFacts(
            boundRange: try Self.boundRange(on: scratch, page),
            pastLastPage: try refusal((maxGuestPage + 1) * page, 0) ?? .invalidArgument)
    }

    /// Binds one page of a guest_memfd to two slots, and returns what the second call fails with.
    private static func boundRange(
        on vm: VirtualMachine, _ page: UInt64
    ) throws(KVMError) -> Errno {
        let kernel = KVMCapabilities(of: vm)
        // Without such slots the fact is of no use.
        guard kernel.hasGuestMemfd else { return .invalidArgument }
        // arm64 binds only files that can be mapped: GUEST_MEMFD_FLAG_MMAP, where the kernel has it.
        let flags = kernel.guestMemfdFlags & 1
        // A host that refuses the probe refuses such a slot later, with its own error.
        guard let memory = try? vm.makeGuestMemfd(size: ByteCount(page), flags: flags) else {
            return .invalidArgument
        }
        let file = OwnedDescriptor(adopting: memory)
        var words = RegionWords(
            slot: 0, flags: MemslotFlags.guestMemfd.rawValue, address: 0, size: page,
            userspaceAddress: 0, guestMemfd: file.number)
        var errnos: [Errno?] = []
        for slot in 0..<2 as Range<UInt32> {
            (words.slot, words.guest_phys_addr) = (slot, UInt64(slot) * page)
            errnos.append(words.apply(to: vm.descriptor, byRegion2: true))
        }
        for slot in 0..<2 as Range<UInt32> where errnos[Int(slot)] == nil {
            let deletion = RegionWords(slot: slot, address: 0, size: 0, userspaceAddress: 0)
            _ = deletion.apply(to: vm.descriptor, byRegion2: true)
        }
        return errnos == [nil, .fileExists] ? .fileExists : .invalidArgument
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

    /// Why a slot of one page is refused; `nil` if it is accepted. `EFAULT` is arm64's word for a
    /// page past the last.
    private static func refusal(
        _ address: UInt64, userspaceAddress: UInt64, size: UInt64, on vm: VirtualMachine
    ) throws(KVMError) -> Errno? {
        var words = RegionWords(
            slot: 0, address: address, size: size, userspaceAddress: userspaceAddress)
        if let errno = words.apply(to: vm.descriptor, byRegion2: false) {
            guard errno == .invalidArgument || errno == .badAddress else {
                throw vm.explanation(of: errno, from: "KVM_SET_USER_MEMORY_REGION")
            }
            return errno
        }
        words.memory_size = 0
        if let errno = words.apply(to: vm.descriptor, byRegion2: false) {
            throw vm.explanation(of: errno, from: "KVM_SET_USER_MEMORY_REGION")
        }
        return nil
    }
}

/// How KVM on this host translates guest addresses.
public enum ShadowPaging {
    /// A Boolean value that indicates whether it does without EPT and NPT, so that a slot has
    /// reverse maps from the beginning. The first use reads the parameters of KVM's modules.
    ///
    /// With EPT or NPT a VM also has reverse maps once a guest of its own runs in it.
    public static let isUsed = !["kvm_intel/parameters/ept", "kvm_amd/parameters/npt"].contains {
        guard let file = fopen("/sys/module/\($0)", "re") else { return false }
        defer { fclose(file) }
        let value = getc(file)
        return value == Int32(UInt8(ascii: "Y")) || value == Int32(UInt8(ascii: "1"))
    }
}
