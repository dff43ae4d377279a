public import Memslots

/// The limits of a simulated VM.
///
/// The defaults are those of x86-64 KVM: 32,764 slots, one address space, 52 guest physical
/// bits, user space ending at 0x7ffffffff000, `log-dirty-pages` and `readonly`.
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

    /// 1 … 2^20. A kernel has at most 32,767; more serve tests of size.
    public static let maxSlotsRange: ClosedRange<UInt32> = 1...1 << 20
    /// 1 … 65,536: the kernel's `slot` has 16 bits for them. x86 has one or two.
    public static let addressSpacesRange: ClosedRange<UInt32> = 1...1 << 16
    /// 12 … 64: from a single page to all 64-bit addresses. Hosts have 36 to 52.
    public static let guestPhysicalBitsRange: ClosedRange<UInt32> = 12...64

    /// Creates the default configuration.
    public init() {}

    /// Returns the limits that arrays are validated against.
    ///
    /// - Throws: the first member, in the order of their declaration, that is out of its range.
    public func capabilities() throws(SimulatorConfigurationError) -> Capabilities {
        guard Self.maxSlotsRange.contains(maxSlots) else { throw .maxSlots }
        guard Self.addressSpacesRange.contains(addressSpaces) else { throw .addressSpaces }
        guard Self.guestPhysicalBitsRange.contains(guestPhysicalBits) else {
            throw .guestPhysicalBits
        }
        guard userspaceEnd.isPageAligned, userspaceEnd.rawValue != 0 else {
            throw .userspaceEnd
        }
        guard flags.isSubset(of: [.logDirtyPages, .readOnly, .guestMemfd]) else { throw .flags }
        return Capabilities(
            maxSlots: maxSlots,
            addressSpaces: addressSpaces,
            maxGuestPage: (1 << UInt64(guestPhysicalBits - 12)) - 1,
            userspaceEnd: userspaceEnd,
            flags: flags,
            reservedRanges: reservedRanges,
            providesGuestMemfd: flags.contains(.guestMemfd),
            dirtyLogStartsFull: dirtyLogProtection.startsFull)
    }
}

/// The member of a ``SimulatorConfiguration`` that is out of its range.
public enum SimulatorConfigurationError: Error, Hashable, Sendable, CaseIterable,
    CustomStringConvertible
{
    /// Not within ``SimulatorConfiguration/maxSlotsRange``.
    case maxSlots
    /// Not within ``SimulatorConfiguration/addressSpacesRange``.
    case addressSpaces
    /// Not within ``SimulatorConfiguration/guestPhysicalBitsRange``.
    case guestPhysicalBits
    /// 0, or not a multiple of 4096.
    case userspaceEnd
    /// A bit without a name.
    case flags

    /// The message.
    public var description: String { message }

    /// What is wrong.
    public var message: String {
        switch self {
        case .maxSlots: "maxSlots must be within \(SimulatorConfiguration.maxSlotsRange)"
        case .addressSpaces:
            "addressSpaces must be within \(SimulatorConfiguration.addressSpacesRange)"
        case .guestPhysicalBits:
            "guestPhysicalBits must be within \(SimulatorConfiguration.guestPhysicalBitsRange)"
        case .userspaceEnd: "userspaceEnd must be a multiple of 4096, and not 0"
        case .flags: "flags may be log-dirty-pages, readonly and guest-memfd"
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
