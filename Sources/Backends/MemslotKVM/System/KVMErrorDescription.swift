extension KVMError: CustomStringConvertible {
    /// A sentence that says what is wrong, and one that says what to do.
    public var description: String {
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
            (usermod -aG kvm USER, then log in again), or give access with setfacl -m u:USER:rw
            """
        case .unsupportedVersion(let version):
            "KVM answers API version \(version); 12 is needed: use a kernel of 2.6.22 or later"
        case .kernelTooOld(let missing):
            "KVM lacks \(missing.kernelName) here: use a kernel of \(missing.since) or later"
        case .unsupportedOption(let missing):
            """
            an option needs \(missing.kernelName), which KVM lacks here: leave the option out, \
            or use a kernel of \(missing.since) or later
            """
        case .vmOfAnotherProcess(let creator):
            """
            KVM answers EIO: \(Self.maker(creator)); only the process that made a VM may change it, so \
            submit from there
            """
        case .installedSlotDiffers(let key, let fault):
            "slot \(key): \(fault.explanation); list the slots exactly as they are installed"
        case .installedSlotUnlisted(let key):
            "slot \(key) is installed but not listed; list the slots exactly as they are installed"
        case .callFailed(let call, let errno):
            "\(call) failed with \(errno)"
        }
    }
}

extension KVMError {
    private static func maker(_ process: Int32?) -> String {
        process.map { "process \($0) made the VM" } ?? "another process made the VM, or it is dead"
    }
}

extension InstalledSlotFault {
    fileprivate var explanation: String {
        switch self {
        case .invalid: "KVM would not take it as it is listed"
        case .listedTwice: "it is listed twice"
        case .absent: "nothing is installed where it is listed"
        case .differs: "its size, userspace address, readonly or guest-memfd is not as listed"
        case .elsewhere: "it is not installed at the address listed"
        case .logging: "its log-dirty-pages is not as listed"
        }
    }
}
