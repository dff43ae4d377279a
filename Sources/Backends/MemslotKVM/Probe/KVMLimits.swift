public import Memslots

/// Limits of a host that no capability tells, found by trying slots on a scratch VM.
public struct KVMLimits: Hashable, Sendable {
    /// The largest guest page number (gfn). It differs from host to host.
    /// Kernel: `kvm_mmu_max_gfn`.
    public let maxGuestPage: UInt64
    /// The first address past user space. Kernel: `access_ok`.
    public let userspaceEnd: UserspaceAddress

    /// Every page number of a 64-bit address is below it.
    private static let pageNumbers: UInt64 = 1 << 52

    /// Measures both by bisection. The last page of 2^64 bytes is left out, as KVM does.
    init(measuring system: KVMSystem) throws(KVMError) {
        let scratch = try system.makeVirtualMachine()
        let end = Self.pageNumbers - 1
        // User memory is never looked at, so that address 0 does.
        self.maxGuestPage = try Self.last(below: end) { (page) throws(KVMError) in
            try Self.accepts(page * pageSize.rawValue, userspaceAddress: 0, on: scratch)
        }
        let lastPage = try Self.last(below: end) { (page) throws(KVMError) in
            try Self.accepts(0, userspaceAddress: page * pageSize.rawValue, on: scratch)
        }
        self.userspaceEnd = UserspaceAddress((lastPage + 1) * pageSize.rawValue)
    }

    /// The last number below `end` that is accepted, where all before it are, 0 too.
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
        if let errno = words.set(on: vm.descriptor, byRegion2: false) {
            guard errno == .invalidArgument else {
                throw vm.explanation(of: errno, from: "KVM_SET_USER_MEMORY_REGION")
            }
            return false
        }
        words.size = 0
        if let errno = words.set(on: vm.descriptor, byRegion2: false) {
            throw vm.explanation(of: errno, from: "KVM_SET_USER_MEMORY_REGION")
        }
        return true
    }
}
