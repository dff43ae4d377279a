import CKVM
import Memslots

/// The host's KVM: the open device, what it can do, and where VMs are made.
public final class KVMSystem: Sendable {
    private let device: Descriptor
    private let measured = Locked<KVMLimits?>(nil)

    /// The descriptor of the device.
    public var descriptor: Int32 { device.rawValue }

    /// Opens the device and checks that it is new enough.
    ///
    /// - Parameter path: the device, `/dev/kvm` on every distribution.
    /// - Throws: what is missing and what to do about it.
    public init(path: String = "/dev/kvm") throws(KVMError) {
        let opened = CallResult(ckvm_open(path))
        if let errno = opened.errno { throw Self.openError(errno, path: path) }
        self.device = Descriptor(owning: opened.rawValue)
        let version = CallResult(ckvm_get_api_version(opened.rawValue))
        // Another kind of device answers ENOTTY here.
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

    /// Why KVM can't be used here; `nil` where it can. Opens the device and closes it again.
    public static func unavailability(path: String = "/dev/kvm") -> KVMError? {
        do throws(KVMError) {
            _ = try KVMSystem(path: path).makeVirtualMachine()
            return nil
        } catch {
            return error
        }
    }

    /// The kernel's answer for `capability` on the device; 0 where it lacks it.
    public func value(of capability: KVMCapability) -> Int32 {
        max(0, ckvm_check_extension(descriptor, Int(capability.rawValue)))
    }

    /// Makes a VM of the default type. It belongs to this process.
    public func makeVirtualMachine() throws(KVMError) -> VirtualMachine {
        let descriptor = try CallResult(ckvm_create_vm(self.descriptor, 0))
            .value(of: "KVM_CREATE_VM")
        return VirtualMachine(
            system: self, descriptor: Descriptor(owning: descriptor),
            creator: ckvm_process())
    }

    /// The limits of the host that no capability tells; measured at the first call.
    ///
    /// Cost: about 200 slot calls on a scratch VM the first time, 3 ms.
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
