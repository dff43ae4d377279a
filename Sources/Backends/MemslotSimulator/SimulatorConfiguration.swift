public import Memslots

/// The limits of a simulated VM.
///
/// The defaults are those of x86-64 KVM: 32,764 slots, one address space, 52 guest physical
/// bits, user space ending at 0x7ffffffff000, `log-dirty-pages` and `readonly`. Those of another
/// host come with its ``profile``; what no such host has is refused.
public struct SimulatorConfiguration: Hashable, Sendable {
    /// The number of slots of an address space. Range: ``maxSlotsRange``.
    public var maxSlots: UInt32 = 32_764
    /// The number of address spaces. Range: ``addressSpacesRange``.
    public var addressSpaces: UInt32 = 1
    /// The bits of a guest physical address. Range: ``guestPhysicalBitsRange``.
    public var guestPhysicalBits: UInt32 = 52
    /// The first address past user space: a multiple of 4096, not 0.
    public var userspaceEnd = UserspaceAddress(0x7fff_ffff_f000)
    /// The flags that slots may have: any of the three with a name. With `guest-memfd`, a slot
    /// that names no file gets a file of its own.
    public var flags: MemslotFlags = [.logDirtyPages, .readOnly]
    /// The guest ranges that KVM reserves for itself, in every address space.
    public var reservedRanges: [Range<GuestPhysicalAddress>] = []
    /// How dirty bits are cleared.
    public var dirtyLogProtection = DirtyLogProtection.automatic
    /// The kind of host; `nil` for x86-64's rules, with any page size and address bits.
    public let profile: HostProfile?
    /// The bytes of a page: a power of two within ``pageSizeRange``, that of the profile.
    public var pageSize = ByteCount.page
    /// The kernel whose rules the VM follows.
    public let kernel: KernelVersion

    /// 4 KiB … 1 MiB.
    public static let pageSizeRange: ClosedRange<ByteCount> = .page ... .mebibytes(1)
    /// 1 … 2^20. A kernel has at most 32,767; more serve tests of size.
    public static let maxSlotsRange: ClosedRange<UInt32> = 1...1 << 20
    /// 1 … 65,536: the kernel's `slot` has 16 bits for them. x86 has one or two.
    public static let addressSpacesRange: ClosedRange<UInt32> = 1...1 << 16
    /// 12 … 64: from a single page to all 64-bit addresses. Hosts have 36 to 52.
    public static let guestPhysicalBitsRange: ClosedRange<UInt32> = 12...64

    /// Creates the default configuration of `profile` and `kernel`.
    public init(profile: HostProfile? = nil, kernel: KernelVersion? = nil) {
        (self.profile, self.kernel) = (profile, kernel ?? .default)
        guard let profile else { return }
        maxSlots = profile.maxSlots(self.kernel)
        (guestPhysicalBits, userspaceEnd) = (profile.guestPhysicalBits, profile.userspaceEnd)
        flags.formIntersection(profile.flags(self.kernel))
        pageSize = profile.pageSize
    }

    /// Returns the limits that arrays are validated against.
    ///
    /// - Throws: the first member, in the order of their declaration, that is out of its range.
    public func capabilities() throws(SimulatorConfigurationError) -> Capabilities {
        guard Self.maxSlotsRange.contains(maxSlots) else { throw .maxSlots }
        guard Self.addressSpacesRange.contains(addressSpaces) else { throw .addressSpaces }
        let host = profile ?? .x86
        guard profile == nil || addressSpaces <= host.mostAddressSpaces else {
            throw .addressSpaces
        }
        guard Self.pageSizeRange.contains(pageSize), pageSize.rawValue.nonzeroBitCount == 1,
            profile == nil || pageSize == host.pageSize
        else { throw .pageSize }
        let pageBits = UInt32(pageSize.rawValue.trailingZeroBitCount)
        guard Self.guestPhysicalBitsRange.contains(guestPhysicalBits),
            guestPhysicalBits >= pageBits,
            profile?.permits(guestPhysicalBits: guestPhysicalBits) ?? true
        else { throw .guestPhysicalBits }
        guard userspaceEnd.isPageAligned, userspaceEnd.rawValue != 0 else { throw .userspaceEnd }
        guard flags.isSubset(of: host.flags(kernel)) else { throw .flags }
        return Capabilities(
            maxSlots: maxSlots, addressSpaces: addressSpaces,
            maxGuestPage: (1 << UInt64(guestPhysicalBits - pageBits)) - host.pagesBelowEnd,
            userspaceEnd: userspaceEnd, flags: flags, pageSize: pageSize,
            slotGranule: profile?.slotGranule(kernel), facts: host.facts(kernel),
            reservedRanges: reservedRanges, providesGuestMemfd: flags.contains(.guestMemfd),
            // Ordinary VMs have the flag since 6.18, and with it both flags of a guest_memfd.
            sharesGuestMemfd: flags.contains(.guestMemfd),
            dirtyLogStartsFull: dirtyLogProtection.startsFull,
            deletesAtOneInstant: host.deletesAtOneInstant(kernel))
    }
}

/// The member of a ``SimulatorConfiguration`` that is out of its range.
public enum SimulatorConfigurationError: Error, Hashable, Sendable, CaseIterable,
    CustomStringConvertible
{
    /// Not within ``SimulatorConfiguration/maxSlotsRange``.
    case maxSlots
    /// Not within ``SimulatorConfiguration/addressSpacesRange``, or more than a host of the profile
    /// has.
    case addressSpaces
    /// Not within ``SimulatorConfiguration/guestPhysicalBitsRange``, or not what a host of the
    /// profile can have.
    case guestPhysicalBits
    /// 0, or not a multiple of 4096.
    case userspaceEnd
    /// A bit without a name, or a flag that no host of the profile and the kernel has.
    case flags
    /// Not a power of two within ``SimulatorConfiguration/pageSizeRange``, or not that of the profile.
    case pageSize

    /// The member of the configuration, by its name.
    public var member: String {
        switch self {
        case .maxSlots: "maxSlots"
        case .addressSpaces: "addressSpaces"
        case .guestPhysicalBits: "guestPhysicalBits"
        case .userspaceEnd: "userspaceEnd"
        case .flags: "flags"
        case .pageSize: "pageSize"
        }
    }

    /// The message.
    public var description: String { message }

    /// What is wrong.
    public var message: String {
        switch self {
        case .maxSlots: "maxSlots must be within \(SimulatorConfiguration.maxSlotsRange)"
        case .addressSpaces:
            "addressSpaces must be within \(SimulatorConfiguration.addressSpacesRange), and with a "
                + "profile at most 2 on x86-64 and 1 elsewhere"
        case .guestPhysicalBits:
            "guestPhysicalBits must be within \(SimulatorConfiguration.guestPhysicalBitsRange), and "
                + "with a profile 32 to 52 on arm64, 41, 50 or 59 on riscv64, 32 to 64 elsewhere"
        case .userspaceEnd: "userspaceEnd must be a multiple of 4096, and not 0"
        case .flags:
            "flags may be log-dirty-pages, readonly (not on s390x) and guest-memfd (x86-64 and arm64, "
                + "from Linux 6.18 on)"
        case .pageSize:
            "pageSize must be a power of two from 4096 to 1048576, and with a profile that of the "
                + "profile"
        }
    }
}

/// How the bits of a dirty log are cleared.
///
/// Kernel: `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2`; the raw value is its first argument.
public enum DirtyLogProtection: UInt64, Hashable, Sendable, CaseIterable {
    /// Reading a log clears it.
    case automatic = 0
    /// Reading does not change a log; `KVM_CLEAR_DIRTY_LOG` clears it.
    case manual = 1
    /// As ``manual``, and a slot that starts to log starts with every page dirty.
    /// Kernel: `KVM_DIRTY_LOG_INITIALLY_SET`.
    case manualInitiallySet = 3

    /// Whether a new log has every page dirty.
    public var startsFull: Bool { self == .manualInitiallySet }
}
