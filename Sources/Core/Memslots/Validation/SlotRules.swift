/// The rules that KVM puts to one slot by itself, as the set of those that a slot breaks.
///
/// Written once: validation lists every broken rule of an array, the simulator returns the
/// errno of the first. The order of the cases is the kernel's check order; all of these rules
/// return `EINVAL`, so their order among themselves can't be seen from userspace.
///
/// Kernel: `kvm_set_memory_region` and `check_memory_region_flags` in virt/kvm/kvm_main.c.
package struct SlotRules: OptionSet, Hashable, Sendable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// The id is not below ``Capabilities/maxSlots``.
    package static let slotOutOfRange = SlotRules(rawValue: 1 << 0)
    /// A flag that the backend doesn't accept, or `guest-memfd` together with another.
    package static let unsupportedFlag = SlotRules(rawValue: 1 << 1)
    /// The size is not a multiple of ``Capabilities/slotGranule``.
    package static let misalignedSize = SlotRules(rawValue: 1 << 2)
    /// The guest physical address is not a multiple of ``Capabilities/slotGranule``.
    package static let misalignedAddress = SlotRules(rawValue: 1 << 3)
    /// The userspace address is not a multiple of ``Capabilities/slotGranule``, or the range is not
    /// wholly user space.
    package static let badUserspaceAddress = SlotRules(rawValue: 1 << 4)
    /// The offset into the guest_memfd is not a multiple of ``Capabilities/pageSize``.
    package static let misalignedGuestMemfd = SlotRules(rawValue: 1 << 5)
    /// The offset into the guest_memfd and the size wrap 2^64.
    package static let guestMemfdOverflow = SlotRules(rawValue: 1 << 6)
    /// There is no such address space.
    package static let badAddressSpace = SlotRules(rawValue: 1 << 7)
    /// Address and size wrap 2^64; a sum of exactly 2^64 counts.
    package static let addressOverflow = SlotRules(rawValue: 1 << 8)
    /// More pages than ``Capabilities/maxPagesPerSlot``.
    package static let sizeTooLarge = SlotRules(rawValue: 1 << 9)

    /// The rules that `slot` breaks, by the limits of `capabilities`.
    ///
    /// - Parameters:
    ///   - slot: any words; a size of 0 is validated as a deletion.
    ///   - capabilities: the limits.
    ///   - unit: what size and addresses must be multiples of; by default the slot granule. The
    ///     kernel's first checks are in pages.
    package static func broken(
        by slot: Memslot, capabilities: Capabilities, unit: ByteCount? = nil
    ) -> SlotRules {
        let unit = unit ?? capabilities.slotGranule
        var broken: SlotRules = []
        if slot.assignedID.rawValue >= capabilities.maxSlots { broken.insert(.slotOutOfRange) }
        if !allows(slot.flags, capabilities) { broken.insert(.unsupportedFlag) }
        if !slot.size.isMultiple(of: unit) { broken.insert(.misalignedSize) }
        if !slot.guestPhysicalAddress.isMultiple(of: unit) { broken.insert(.misalignedAddress) }
        if !isUserSpace(slot, capabilities, unit) { broken.insert(.badUserspaceAddress) }
        if slot.flags.contains(.guestMemfd) {
            if !slot.guestMemfdOffset.isMultiple(of: capabilities.pageSize) {
                broken.insert(.misalignedGuestMemfd)
            }
            let sum = slot.guestMemfdOffset.rawValue.addingReportingOverflow(slot.size.rawValue)
            if sum.overflow { broken.insert(.guestMemfdOverflow) }
        }
        if slot.addressSpace.rawValue >= capabilities.addressSpaces {
            broken.insert(.badAddressSpace)
        }
        if slot.guestPhysicalAddress.advanced(by: slot.size) == nil {
            broken.insert(.addressOverflow)
        }
        if capabilities.pageCount(of: slot) > capabilities.maxPagesPerSlot {
            broken.insert(.sizeTooLarge)
        }
        return broken
    }

    /// Whether the slot's last page is past the largest that the host can map.
    ///
    /// The kernel finds this only after a moved slot has been taken from the guest, so that the
    /// refusal is visible to it. Kernel: `kvm_arch_prepare_memory_region`, arch/x86/kvm/x86.c.
    ///
    /// - Precondition: the size is not 0, and the range doesn't wrap.
    package static func exceedsGuestPages(_ slot: Memslot, capabilities: Capabilities) -> Bool {
        ByteCount(slot.guestPhysicalEnd.rawValue - 1).pages(of: capabilities.pageSize)
            > capabilities.maxGuestPage
    }

    /// What the architecture's own check of a created or moved slot returns; `nil` if it accepts it.
    ///
    /// It is the kernel's last. s390x checks the size and the userspace address alone: a guest
    /// address off 1 MiB is accepted, and maps nothing. Kernel: `kvm_arch_prepare_memory_region`.
    package static func lastRefusal(of slot: Memslot, capabilities: Capabilities) -> Errno? {
        guard slot.size.isMultiple(of: capabilities.slotGranule),
            slot.userspaceAddress.isMultiple(of: capabilities.slotGranule)
        else { return .invalidArgument }
        return exceedsGuestPages(slot, capabilities: capabilities)
            ? capabilities.facts.pastLastPage : nil
    }

    private static func allows(_ flags: MemslotFlags, _ capabilities: Capabilities) -> Bool {
        guard flags.isSubset(of: capabilities.flags) else { return false }
        return !flags.contains(.guestMemfd) || flags == .guestMemfd
    }

    private static func isUserSpace(
        _ slot: Memslot, _ capabilities: Capabilities, _ unit: ByteCount
    ) -> Bool {
        guard slot.userspaceAddress.isMultiple(of: unit),
            let end = slot.userspaceAddress.advanced(by: slot.size)
        else { return false }
        return end <= capabilities.userspaceEnd
    }
}

/// Puts the rules that one slot breaks into words.
struct SlotFaults {
    let slot: Memslot
    let index: Int
    let capabilities: Capabilities
    private(set) var all: [Violation] = []

    mutating func append(_ broken: SlotRules) {
        for rule in Self.rules where broken.contains(rule.rule) {
            append(rule.kind, rule.member, rule.detail(slot, capabilities), rule.errno)
        }
    }

    /// Object and offset identify a host page, so that offsets must be whole pages.
    mutating func appendMemoryFaults() {
        guard let offset = slot.memory?.offset else { return }
        if !offset.isMultiple(of: capabilities.pageSize) {
            append(
                .backingMisaligned, "memoryOffset",
                "offset \(offset) is not a multiple of \(capabilities.pageSize.rawValue)")
        }
        if offset.rawValue.addingReportingOverflow(slot.size.rawValue).overflow {
            append(.backingOutOfBounds, "memoryOffset", "offset and size wrap 2^64")
        }
    }

    mutating func appendTooLarge() {
        let bits = capabilities.guestPhysicalBits
        append(
            .addressTooLarge, "guestPhysicalAddress",
            "it ends at \(slot.guestPhysicalEnd), past the largest guest page "
                + "0x\(String(capabilities.maxGuestPage, radix: 16)) (\(bits) address bits)",
            capabilities.facts.pastLastPage)
    }

    mutating func append(
        _ kind: ViolationKind, _ member: String, _ detail: String, _ errno: Errno? = nil
    ) {
        all.append(
            Violation(kind, of: slot, at: index, member: member, detail: detail, errno: errno))
    }

    private struct Rule {
        let rule: SlotRules
        let kind: ViolationKind
        let member: String
        var errno: Errno?
        let detail: @Sendable (Memslot, Capabilities) -> String
    }

    /// The kernel's rules in its check order, but for those of guest_memfd, which come last.
    private static let rules: [Rule] = [
        Rule(rule: .slotOutOfRange, kind: .slotOutOfRange, member: "slot") { slot, limits in
            "the id is not below \(limits.maxSlots), the number of slots of an address space"
        },
        Rule(rule: .unsupportedFlag, kind: .unsupportedFlag, member: "flags") { slot, limits in
            let given = slot.flags.names.joined(separator: ", ")
            let supported = limits.flags.names.joined(separator: ", ")
            return "the VM does not support the flags \(given); it supports \(supported), and "
                + "guest-memfd only without others"
        },
        Rule(rule: .misalignedSize, kind: .misalignedSize, member: "size") { slot, limits in
            "size \(slot.size) is not a multiple of \(limits.slotGranule.rawValue)"
        },
        Rule(
            rule: .misalignedAddress, kind: .misalignedAddress, member: "guestPhysicalAddress"
        ) { slot, limits in
            "guest physical address \(slot.guestPhysicalAddress) is not a multiple of "
                + "\(limits.slotGranule.rawValue)"
        },
        Rule(
            rule: .badUserspaceAddress, kind: .badUserspaceAddress, member: "userspaceAddress"
        ) { slot, limits in
            let address = slot.userspaceAddress
            return address.isMultiple(of: limits.slotGranule)
                ? "userspace address \(address) and size \(slot.size) do not lie in user space, "
                    + "which ends at \(limits.userspaceEnd)"
                : "userspace address \(address) is not a multiple of \(limits.slotGranule.rawValue)"
        },
        Rule(
            rule: .badAddressSpace, kind: .badAddressSpace, member: "addressSpace"
        ) { slot, limits in
            "there is no such address space; the VM has \(limits.addressSpaces)"
        },
        Rule(rule: .addressOverflow, kind: .addressOverflow, member: "guestPhysicalAddress") {
            slot, _ in
            "guest physical address \(slot.guestPhysicalAddress) and size \(slot.size) wrap 2^64"
        },
        Rule(rule: .sizeTooLarge, kind: .sizeTooLarge, member: "size") { slot, limits in
            "size \(slot.size) is more than \(limits.maxPagesPerSlot) pages"
        },
        Rule(
            rule: .misalignedGuestMemfd, kind: .backingMisaligned, member: "guestMemfdOffset",
            errno: .invalidArgument
        ) { slot, limits in
            "\(slot.guestMemfdOffset) is not a multiple of \(limits.pageSize.rawValue)"
        },
        Rule(
            rule: .guestMemfdOverflow, kind: .backingOutOfBounds, member: "guestMemfdOffset",
            errno: .invalidArgument
        ) { _, _ in "offset and size wrap 2^64" },
    ]
}
