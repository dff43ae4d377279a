/// The rules that KVM puts to one slot by itself, as the set of those that a slot breaks.
///
/// Written once: validation tells every broken rule of an array, the simulator answers with the
/// errno of the first. The order of the cases is the kernel's check order; all of these rules
/// answer `EINVAL`, so their order among themselves can't be seen from userspace.
///
/// Kernel: `kvm_set_memory_region` and `check_memory_region_flags` in virt/kvm/kvm_main.c.
public struct SlotRules: OptionSet, Hashable, Sendable {
    /// A bit a rule.
    public let rawValue: UInt16

    /// Wraps the bits.
    @inlinable
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// The id is not below ``Capabilities/maxSlots``.
    public static let slotOutOfRange = SlotRules(rawValue: 1 << 0)
    /// A flag that the backend doesn't take, or `guest-memfd` together with another.
    public static let unsupportedFlag = SlotRules(rawValue: 1 << 1)
    /// The size is not a multiple of 4096.
    public static let misalignedSize = SlotRules(rawValue: 1 << 2)
    /// The guest physical address is not a multiple of 4096.
    public static let misalignedAddress = SlotRules(rawValue: 1 << 3)
    /// The userspace address is not a multiple of 4096, or the range is not wholly user space.
    public static let badUserspaceAddress = SlotRules(rawValue: 1 << 4)
    /// The offset into the guest_memfd is not a multiple of 4096.
    public static let misalignedGuestMemfd = SlotRules(rawValue: 1 << 5)
    /// The offset into the guest_memfd and the size wrap 2^64.
    public static let guestMemfdOverflow = SlotRules(rawValue: 1 << 6)
    /// There is no such address space.
    public static let badAddressSpace = SlotRules(rawValue: 1 << 7)
    /// Address and size wrap 2^64; a sum of exactly 2^64 counts.
    public static let addressOverflow = SlotRules(rawValue: 1 << 8)
    /// More pages than ``Capabilities/maxPagesPerSlot``.
    public static let sizeTooLarge = SlotRules(rawValue: 1 << 9)

    /// The rules that `slot` breaks, by the limits of `capabilities`.
    ///
    /// - Parameters:
    ///   - slot: any words; a size of 0 is judged as the kernel judges a deletion.
    ///   - capabilities: the limits.
    public static func broken(by slot: Memslot, capabilities: Capabilities) -> SlotRules {
        var broken: SlotRules = []
        if slot.assignedID.rawValue >= capabilities.maxSlots { broken.insert(.slotOutOfRange) }
        if !allows(slot.flags, capabilities) { broken.insert(.unsupportedFlag) }
        if !slot.size.isPageAligned { broken.insert(.misalignedSize) }
        if !slot.guestPhysicalAddress.isPageAligned { broken.insert(.misalignedAddress) }
        if !isUserSpace(slot, capabilities) { broken.insert(.badUserspaceAddress) }
        if slot.flags.contains(.guestMemfd) {
            if !slot.guestMemfdOffset.isPageAligned { broken.insert(.misalignedGuestMemfd) }
            let sum = slot.guestMemfdOffset.rawValue.addingReportingOverflow(slot.size.rawValue)
            if sum.overflow { broken.insert(.guestMemfdOverflow) }
        }
        if slot.addressSpace.rawValue >= capabilities.addressSpaces {
            broken.insert(.badAddressSpace)
        }
        if slot.guestPhysicalAddress.advanced(by: slot.size) == nil {
            broken.insert(.addressOverflow)
        }
        if slot.pageCount > capabilities.maxPagesPerSlot { broken.insert(.sizeTooLarge) }
        return broken
    }

    /// Whether the slot's last page is past the largest that the host can map.
    ///
    /// The kernel finds this only after a moved slot has been taken from the guest, so that the
    /// refusal is visible to it. Kernel: `kvm_arch_prepare_memory_region`, arch/x86/kvm/x86.c.
    ///
    /// - Precondition: the size is not 0, and the range doesn't wrap.
    public static func exceedsGuestPages(_ slot: Memslot, capabilities: Capabilities) -> Bool {
        (slot.guestPhysicalEnd.rawValue - 1) / pageSize.rawValue > capabilities.maxGuestPage
    }

    private static func allows(_ flags: MemslotFlags, _ capabilities: Capabilities) -> Bool {
        guard flags.isSubset(of: capabilities.flags) else { return false }
        return !flags.contains(.guestMemfd) || flags == .guestMemfd
    }

    private static func isUserSpace(_ slot: Memslot, _ capabilities: Capabilities) -> Bool {
        guard slot.userspaceAddress.isPageAligned,
            let end = slot.userspaceAddress.advanced(by: slot.size)
        else { return false }
        return end <= capabilities.userspaceEnd
    }
}
