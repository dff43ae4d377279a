public import Memslots

/// What a simulated VM allows.
///
/// The defaults are those of x86-64 KVM: 32,764 slots, one address space, 52 guest physical
/// bits, user space ending at 0x7ffffffff000, `log-dirty-pages` and `readonly`.
public struct SimulatorConfiguration: Hashable, Sendable {
    /// Slots an address space. Range: ``maxSlotsRange``.
    public var maxSlots: UInt32 = 32_764
    /// How many address spaces there are. Range: ``addressSpacesRange``.
    public var addressSpaces: UInt32 = 1
    /// Bits of a guest physical address. Range: ``guestPhysicalBitsRange``.
    public var guestPhysicalBits: UInt32 = 52
    /// The first address past user space: a multiple of 4096, not 0.
    public var userspaceEnd = UserspaceAddress(0x7fff_ffff_f000)
    /// The flags that slots may have; any of the three that have a name. With `guest-memfd`,
    /// a slot that names no file gets one of its own.
    public var flags: MemslotFlags = [.logDirtyPages, .readOnly]
    /// Guest ranges that KVM keeps for itself, in every address space.
    public var reservedRanges: [Range<GuestPhysicalAddress>] = []
    /// Who clears dirty bits.
    public var dirtyLogProtection = DirtyLogProtection.automatic

    /// 1 … 2^20. A kernel has at most 32,767; more are for tests of size.
    public static let maxSlotsRange: ClosedRange<UInt32> = 1...1 << 20
    /// 1 … 65,536: as many as 16 bits of the kernel's `slot` can name. x86 has one or two.
    public static let addressSpacesRange: ClosedRange<UInt32> = 1...1 << 16
    /// 12 … 64: from a single page to every address there is. Hosts have 36 to 52.
    public static let guestPhysicalBitsRange: ClosedRange<UInt32> = 12...64

    /// The defaults.
    public init() {}

    /// These limits in the core's form.
    ///
    /// - Throws: the first member, in the order above, that is out of its range.
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

/// The member of a configuration that is out of its range.
public enum SimulatorConfigurationError: Error, Hashable, Sendable, CaseIterable {
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
}
