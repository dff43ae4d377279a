/// Rules that differ between kernels of one architecture, or between architectures.
///
/// A backend on KVM probes them on its host: a fix may be in any stable release, so that the version
/// decides nothing there. Docs/KVM.md has each with its probe and the versions that were seen.
public struct KernelFacts: Hashable, Sendable {
    /// What binding a part of a guest_memfd that a slot has already returns: `EINVAL` on Linux 6.18,
    /// `EEXIST` since upstream 7ea987a90585 (7.3). Kernel: `kvm_gmem_bind`.
    public var boundRange: Errno
    /// What a slot past ``Capabilities/maxGuestPage`` returns: `EINVAL` on x86-64 and s390x, `EFAULT`
    /// on arm64 and riscv64. Kernel: `kvm_arch_prepare_memory_region`.
    public var pastLastPage: Errno

    /// The defaults are those of x86-64, Linux 6.18.
    public init(boundRange: Errno = .invalidArgument, pastLastPage: Errno = .invalidArgument) {
        (self.boundRange, self.pastLastPage) = (boundRange, pastLastPage)
    }
}

/// A version of Linux, such as 6.18.
public struct KernelVersion: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The numbers before and after the first point.
    public var major, minor: UInt32

    /// The version whose rules the simulator has by default.
    public static let `default` = KernelVersion(6, 18)

    /// The version `major`.`minor`.
    public init(_ major: UInt32, _ minor: UInt32) { (self.major, self.minor) = (major, minor) }

    /// Parses `6.18`, or `6.18.15`, whose last number has no meaning here; `nil` for other text.
    public init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false).map {
            $0.first == "+" ? nil : UInt32($0)
        }
        guard 2...3 ~= parts.count, !parts.contains(nil), let major = parts[0], let minor = parts[1]
        else { return nil }
        self.init(major, minor)
    }

    /// `6.18`.
    public var description: String { "\(major).\(minor)" }

    /// Orders by age.
    public static func < (left: Self, right: Self) -> Bool {
        (left.major, left.minor) < (right.major, right.minor)
    }
}

/// A kind of host, whose rules for slots a simulated VM follows.
///
/// x86-64 was compared with many kernels, arm64 with 6.1; s390x and riscv64 follow the kernel's
/// source alone. Kernel: `kvm_arch_prepare_memory_region` in arch/x86/kvm/x86.c,
/// arch/arm64/kvm/mmu.c, arch/s390/kvm/kvm-s390.c (from 7.1 gmap.c) and arch/riscv/kvm/mmu.c;
/// `KVM_USER_MEM_SLOTS` in include/linux/kvm_host.h.
public enum HostProfile: String, CaseIterable, Hashable, Sendable {
    /// Pages of 4 KiB; 32,764 slots.
    case x86 = "x86-64"
    /// Pages of 4 KiB. Address bits are the VM's type: 40 by default.
    case arm64
    /// As ``arm64``, in pages of 16 KiB.
    case arm64Pages16K = "arm64-16k"
    /// As ``arm64``, in pages of 64 KiB.
    case arm64Pages64K = "arm64-64k"
    /// Slots of whole MiB, from 7.1 of whole pages; none of them read-only.
    case s390x
    /// The last guest page is never accepted.
    case riscv64

    private var isARM: Bool { rawValue.hasPrefix("arm64") }

    /// The bytes of a page.
    public var pageSize: ByteCount {
        switch self {
        case .arm64Pages16K: .kibibytes(16)
        case .arm64Pages64K: .kibibytes(64)
        default: .page
        }
    }

    /// What a slot must be a multiple of, in each of its addresses and its size: on s390x before 7.1
    /// more than a page.
    public func slotGranule(_ kernel: KernelVersion) -> ByteCount {
        self == .s390x && kernel < KernelVersion(7, 1) ? .mebibytes(1) : pageSize
    }

    /// The ids of an address space: `SHRT_MAX`, without the kernel's own.
    public func maxSlots(_ kernel: KernelVersion) -> UInt32 {
        switch self {
        case .x86: 32_764
        case .s390x: kernel < KernelVersion(6, 14) ? 32_767 : 32_766
        default: 32_767
        }
    }

    /// The most address spaces: the second of x86-64 is that of SMM, if the kernel has it.
    public var mostAddressSpaces: UInt32 { self == .x86 ? 2 : 1 }

    /// The guest's address bits. s390x has any limit (`mem_limit`); this is the usual one.
    public var guestPhysicalBits: UInt32 {
        switch self {
        case .x86: 52
        case .s390x: 53
        case .riscv64: 50
        default: 40
        }
    }

    /// Whether a VM may have `bits` address bits: `kvm_arm_setup_stage2` (IPA), Sv39x4 to Sv57x4.
    public func permits(guestPhysicalBits bits: UInt32) -> Bool {
        switch self {
        case .x86, .s390x: 32...64 ~= bits
        case .riscv64: [41, 50, 59].contains(bits)
        default: 32...52 ~= bits
        }
    }

    /// The pages below the last address that are not accepted: riscv64 compares with `>=`.
    public var pagesBelowEnd: UInt64 { self == .riscv64 ? 2 : 1 }

    /// The first address past user space. Kernel: `TASK_SIZE_MAX`. On arm64 2^39, 2^47 and 2^52 are
    /// other configurations.
    public var userspaceEnd: UserspaceAddress {
        switch self {
        case .x86: 0x7fff_ffff_f000
        case .s390x: 0xffff_ffff_ffff_f000
        case .riscv64: 0x7fff_ffff_ffff_f000
        default: 0x1_0000_0000_0000
        }
    }

    /// The flags of an ordinary VM: s390x has no `KVM_CAP_READONLY_MEM`, and guest_memfd came to
    /// ordinary VMs of x86-64 and arm64 with 6.18.
    public func flags(_ kernel: KernelVersion) -> MemslotFlags {
        var flags: MemslotFlags = self == .s390x ? [.logDirtyPages] : [.logDirtyPages, .readOnly]
        if self == .x86 || isARM, kernel >= KernelVersion(6, 18) { flags.insert(.guestMemfd) }
        return flags
    }

    /// Whether a deletion takes a slot from all vCPUs at one instant: only x86-64 retries a fault on
    /// a slot that is being deleted, since 5.13.
    public func deletesAtOneInstant(_ kernel: KernelVersion) -> Bool {
        self == .x86 && kernel >= KernelVersion(5, 13)
    }

    /// What differs between kernels.
    public func facts(_ kernel: KernelVersion) -> KernelFacts {
        KernelFacts(
            boundRange: kernel < KernelVersion(7, 3) ? .invalidArgument : .fileExists,
            pastLastPage: isARM || self == .riscv64 ? .badAddress : .invalidArgument)
    }
}
