/// The requests of KVM that matter here, in each form that strace prints.
///
/// Kernel: `_IOW(KVMIO, …)` in include/uapi/linux/kvm.h; the numbers are those of x86, arm64 and
/// RISC-V. Where they differ (MIPS, PowerPC) strace's names are what counts.
enum KVMRequest {
    case createVM
    case createVCPU
    case run
    case setUserMemoryRegion
    case setUserMemoryRegion2

    /// Reads `KVM_RUN`, `0xae80`, `0xae80 /* KVM_RUN */` or `_IOC(_IOC_NONE, 0xae, 0x80, 0)`.
    ///
    /// - Returns: `nil` for any other request.
    static func read(_ scanner: inout ByteScanner) -> KVMRequest? {
        if let number = scanner.number() {
            scanner.skipSpaces()
            guard scanner.skip("/*") else { return Self.numbered(number) }
            scanner.skipSpaces()
            let named = named(&scanner)
            guard scanner.skip(past: "*/") else { return nil }
            return Self.numbered(number) ?? named
        }
        return named(&scanner)
    }

    private static func named(_ scanner: inout ByteScanner) -> KVMRequest? {
        var found: KVMRequest?
        // strace joins names that share a number with "or".
        repeat {
            let name = scanner.identifier()
            if name.equals("_IOC") {
                found = found ?? composed(&scanner)
            } else {
                found = found ?? Self.request(name: name)
            }
        } while scanner.skip(" or ")
        return found
    }

    private static func numbered(_ number: UInt64) -> KVMRequest? {
        switch number {
        case 0xae01: .createVM
        case 0xae41: .createVCPU
        case 0xae80: .run
        case 0x4020_ae46: .setUserMemoryRegion
        case 0x40a0_ae49: .setUserMemoryRegion2
        default: nil
        }
    }

    private static func request(name: ArraySlice<UInt8>) -> KVMRequest? {
        guard name.stands("KVM_") else { return nil }
        if name.equals("KVM_RUN") { return .run }
        if name.equals("KVM_SET_USER_MEMORY_REGION") { return .setUserMemoryRegion }
        if name.equals("KVM_SET_USER_MEMORY_REGION2") { return .setUserMemoryRegion2 }
        if name.equals("KVM_CREATE_VM") { return .createVM }
        return name.equals("KVM_CREATE_VCPU") ? .createVCPU : nil
    }

    /// Reads `(_IOC_WRITE, 0xae, 0x49, 0xa0)`, as strace prints a request that it doesn't know.
    private static func composed(_ scanner: inout ByteScanner) -> KVMRequest? {
        guard scanner.skip("("), scanner.skip(past: ", "), let type = scanner.number(),
            scanner.skip(", "), let number = scanner.number(), scanner.skip(", "),
            scanner.number() != nil, scanner.skip(")"), type == 0xae
        else { return nil }
        switch number {
        case 0x01: return .createVM
        case 0x41: return .createVCPU
        case 0x80: return .run
        case 0x46: return .setUserMemoryRegion
        case 0x49: return .setUserMemoryRegion2
        default: return nil
        }
    }
}
