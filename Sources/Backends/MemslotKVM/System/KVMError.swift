public import Memslots

/// Why KVM can't be used, or not in the way asked for. Its description says what to do.
public enum KVMError: Error, Hashable, Sendable {
    /// There is no device, or no driver behind it.
    case deviceMissing(path: String)
    /// This user may not open the device.
    case permissionDenied(path: String)
    /// The device speaks another version of the interface; only 12 was ever released.
    case unsupportedVersion(Int32)
    /// The kernel lacks something that nothing goes without.
    case kernelTooOld(missing: KVMCapability)
    /// The host lacks something that an option asks for.
    case unsupportedOption(missing: KVMCapability)
    /// The VM may only be changed by the process that made it. The corresponding C error is `EIO`.
    case vmOfAnotherProcess(creator: Int32?)
    /// A slot of the list given at a take-over isn't installed as listed.
    case installedSlotDiffers(SlotKey, InstalledSlotFault)
    /// A slot is installed that the list given at a take-over lacks.
    case installedSlotUnlisted(SlotKey)
    /// A call failed for another reason. `call` is the kernel's name for it.
    case callFailed(call: String, errno: Errno)

    /// The stable names of the cases, in the order of their declaration.
    public static let kinds = [
        "kvm-device-missing", "kvm-permission-denied", "kvm-unsupported-version",
        "kvm-kernel-too-old", "kvm-unsupported-option", "kvm-other-process",
        "kvm-installed-slot-differs", "kvm-installed-slot-unlisted", "kvm-call-failed",
    ]

    /// A stable name of the case, for the wire and logs.
    public var kind: String {
        switch self {
        case .deviceMissing: Self.kinds[0]
        case .permissionDenied: Self.kinds[1]
        case .unsupportedVersion: Self.kinds[2]
        case .kernelTooOld: Self.kinds[3]
        case .unsupportedOption: Self.kinds[4]
        case .vmOfAnotherProcess: Self.kinds[5]
        case .installedSlotDiffers: Self.kinds[6]
        case .installedSlotUnlisted: Self.kinds[7]
        case .callFailed: Self.kinds[8]
        }
    }

    /// The errno behind the error, where there is one.
    public var errno: Errno? {
        switch self {
        case .deviceMissing: .noEntry
        case .permissionDenied: Errno(name: "EACCES")
        case .vmOfAnotherProcess: .ioError
        case .callFailed(_, let errno): errno
        default: nil
        }
    }
}

/// In what an installed slot differs from the list given at a take-over.
public enum InstalledSlotFault: String, Hashable, Sendable, CaseIterable {
    /// The listed slot breaks a rule of KVM's, so that it can't be installed.
    case invalid
    /// The list names the slot twice.
    case listedTwice = "listed-twice"
    /// The guest has no memory where the list puts the slot.
    case absent
    /// The slot is there, with another size, userspace address, `readonly` or `guest-memfd`.
    case differs
    /// The slot is not where the list puts it, or not there at all; another is in its place.
    case elsewhere
    /// Its `log-dirty-pages` is not as listed.
    case logging
}
