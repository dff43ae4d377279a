import Glibc

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
