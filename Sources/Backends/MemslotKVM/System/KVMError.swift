public import Memslots

/// Why KVM cannot be used, or not with the given options.
public enum KVMError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The device does not exist, or has no driver.
    case deviceMissing(path: String)
    /// This user may not open the device.
    case permissionDenied(path: String)
    /// The device has another version of the interface; only 12 was ever released.
    case unsupportedVersion(Int32)
    /// The kernel lacks a capability that is always needed.
    case kernelTooOld(missing: KVMCapability)
    /// The host lacks a capability that an option needs.
    case unsupportedOption(missing: KVMCapability)
    /// Only the process that created the VM may change it. The corresponding C error is `EIO`.
    case vmOfAnotherProcess(creator: Int32?)
    /// An adopted VM does not have a slot as listed.
    case installedSlotDiffers(SlotKey, InstalledSlotFault)
    /// An adopted VM has a slot that is not listed.
    case installedSlotUnlisted(SlotKey)
    /// An adopted VM does not keep its dirty log as declared.
    case dirtyLogDiffers(DirtyLogMode)
    /// A descriptor is not of a vCPU. The errno is that of the request by which this was found.
    case noVCPU(Errno)
    /// A call failed for another reason. `call` is the kernel's name for it.
    case callFailed(call: String, errno: Errno)

    /// A stable name of the case, for the wire and logs.
    public var kind: String {
        switch self {
        case .deviceMissing: "kvm-device-missing"
        case .permissionDenied: "kvm-permission-denied"
        case .unsupportedVersion: "kvm-unsupported-version"
        case .kernelTooOld: "kvm-kernel-too-old"
        case .unsupportedOption: "kvm-unsupported-option"
        case .vmOfAnotherProcess: "kvm-other-process"
        case .installedSlotDiffers: "kvm-installed-slot-differs"
        case .installedSlotUnlisted: "kvm-installed-slot-unlisted"
        case .dirtyLogDiffers: "kvm-dirty-log-differs"
        case .noVCPU: "kvm-no-vcpu"
        case .callFailed: "kvm-call-failed"
        }
    }

    /// The errno behind the error, if there is one.
    public var errno: Errno? {
        switch self {
        case .deviceMissing: .noEntry
        case .permissionDenied: Errno(name: "EACCES")
        case .vmOfAnotherProcess: .ioError
        case .callFailed(_, let errno): errno
        default: nil
        }
    }

    /// What is wrong, and what to do about it.
    public var message: String {
        switch self {
        case .deviceMissing(let path):
            """
            \(path) is missing or has no driver behind it: load the module (modprobe kvm_intel \
            or kvm_amd); in a virtual machine, switch nested virtualisation on; in a container, \
            pass the device in
            """
        case .permissionDenied(let path):
            """
            \(path) may not be opened by this user: add the user to the group that owns it \
            (usermod -aG kvm USER, then log in again), or give access with setfacl -m u:USER:rw \(path)
            """
        case .unsupportedVersion(let version):
            "KVM has API version \(version); 12 is needed: use a kernel of 2.6.22 or later"
        case .kernelTooOld(let missing):
            "KVM lacks \(missing.kernelName) here: use a kernel of \(missing.since) or later"
        case .unsupportedOption(.disableQuirks2):
            """
            keepsOtherMappings needs the bit KVM_X86_QUIRK_SLOT_ZAP_ALL of \
            KVM_CAP_DISABLE_QUIRKS2, which KVM lacks here: leave the option out, or use a kernel of \
            6.12 or later
            """
        case .unsupportedOption(let missing):
            """
            an option needs \(missing.kernelName), which KVM lacks here: leave the option out, \
            or use a kernel of \(missing.since) or later
            """
        case .vmOfAnotherProcess(let creator):
            "KVM returned EIO: "
                + (creator.map { "process \($0) created the VM" }
                    ?? "another process created the VM, or it is dead")
                + "; only the process that created a VM may change it, so submit from there"
        case .installedSlotDiffers(let key, .invalid) where key.id.rawValue == .max:
            "an installed slot is listed without an id; list each with the id that it has in the VM"
        case .installedSlotDiffers(let key, let fault):
            "slot \(key): \(fault.message); list the slots exactly as they are installed"
        case .installedSlotUnlisted(let key):
            "slot \(key) is installed but not listed; list the slots exactly as they are installed"
        case .dirtyLogDiffers(.ring(let bytes)):
            """
            the VM does not have dirty rings of \(bytes) bytes: declare the size that \
            KVM_CAP_DIRTY_LOG_RING was enabled with, or another dirty log
            """
        case .dirtyLogDiffers:
            "the VM has dirty rings: declare them, with the size that they were enabled with"
        case .noVCPU(let errno):
            "the descriptor is not of a vCPU (\(errno)): pass what KVM_CREATE_VCPU returned"
        case .callFailed(let call, let errno): "\(call) failed with \(errno)"
        }
    }

    /// The ``message``.
    public var description: String { message }
}

/// How an installed slot differs from the list of an adopted VM's slots.
public enum InstalledSlotFault: String, Hashable, Sendable, CaseIterable {
    /// The listed slot breaks a rule of KVM's, so it cannot be installed.
    case invalid
    /// The list names the slot twice.
    case listedTwice = "listed-twice"
    /// The guest has no memory at the listed address.
    case absent
    /// The slot has another size, userspace address, `readonly` or `guest-memfd`.
    case differs
    /// The slot is not at the listed address; another slot is.
    case elsewhere
    /// The slot has another `log-dirty-pages`.
    case logging

    /// The difference in words.
    public var message: String {
        switch self {
        case .invalid: "KVM would not accept it as it is listed"
        case .listedTwice: "it is listed twice"
        case .absent: "nothing is installed where it is listed"
        case .differs: "its size, userspace address, readonly or guest-memfd is not as listed"
        case .elsewhere: "it is not installed at the address listed"
        case .logging: "its log-dirty-pages is not as listed"
        }
    }
}
