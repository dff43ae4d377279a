/// Puts the rules that one slot breaks into words.
struct SlotFaults {
    let slot: Memslot
    let index: Int
    let capabilities: Capabilities
    private(set) var all: [Violation] = []

    init(slot: Memslot, index: Int, capabilities: Capabilities) {
        self.slot = slot
        self.index = index
        self.capabilities = capabilities
    }

    mutating func append(_ broken: SlotRules) {
        for rule in Self.rules where broken.contains(rule.rule) {
            append(rule.kind, rule.member, rule.detail(slot, capabilities))
        }
        if broken.contains(.misalignedGuestMemfd) {
            let offset = slot.guestMemfdOffset
            append(
                .backingMisaligned, "guestMemfdOffset", "\(offset) is not a multiple of 4096",
                .invalidArgument)
        }
        if broken.contains(.guestMemfdOverflow) {
            append(
                .backingOutOfBounds, "guestMemfdOffset", "offset and size wrap 2^64",
                .invalidArgument)
        }
    }

    /// Host pages are told apart by object and offset, so that offsets must be whole pages.
    mutating func appendMemoryFaults() {
        guard let offset = slot.memory?.offset else { return }
        if !offset.isPageAligned {
            append(
                .backingMisaligned, "memoryOffset", "offset \(offset) is not a multiple of 4096")
        }
        if offset.rawValue.addingReportingOverflow(slot.size.rawValue).overflow {
            append(.backingOutOfBounds, "memoryOffset", "offset and size wrap 2^64")
        }
    }

    mutating func appendZeroSize() {
        append(.zeroSize, "size", "the size is 0; leave a slot out to remove it")
    }

    mutating func appendGuestMemfdMissing() {
        append(.guestMemfdMissing, "guestMemfd", "a guest-memfd slot must name its guest_memfd")
    }

    mutating func appendReserved(_ range: Range<GuestPhysicalAddress>) {
        append(
            .reservedAddress, "guestPhysicalAddress",
            "KVM keeps \(range.lowerBound)–\(range.upperBound) for itself")
    }

    mutating func appendTooLarge() {
        let bits = capabilities.guestPhysicalBits
        append(
            .addressTooLarge, "guestPhysicalAddress",
            "it ends at \(slot.guestPhysicalEnd), past the largest guest page "
                + "0x\(String(capabilities.maxGuestPage, radix: 16)) (\(bits) address bits)")
    }

    private mutating func append(
        _ kind: ViolationKind, _ member: String, _ detail: String, _ errno: Errno? = nil
    ) {
        all.append(
            Violation(kind, of: slot, at: index, member: member, detail: detail, errno: errno))
    }

    private struct Rule {
        let rule: SlotRules
        let kind: ViolationKind
        let member: String
        let detail: @Sendable (Memslot, Capabilities) -> String
    }

    /// The kernel's rules in its check order, but for those of guest_memfd.
    private static let rules: [Rule] = [
        Rule(rule: .slotOutOfRange, kind: .slotOutOfRange, member: "slot") { slot, limits in
            "the id is not below \(limits.maxSlots), the number of slots of an address space"
        },
        Rule(rule: .unsupportedFlag, kind: .unsupportedFlag, member: "flags") { slot, limits in
            let given = slot.flags.names.joined(separator: ", ")
            let taken = limits.flags.names.joined(separator: ", ")
            return "flags \(given) can't be had; the VM takes \(taken), guest-memfd only alone"
        },
        Rule(rule: .misalignedSize, kind: .misalignedSize, member: "size") { slot, _ in
            "size \(slot.size) is not a multiple of 4096"
        },
        Rule(
            rule: .misalignedAddress, kind: .misalignedAddress, member: "guestPhysicalAddress"
        ) { slot, _ in
            "guest physical address \(slot.guestPhysicalAddress) is not a multiple of 4096"
        },
        Rule(
            rule: .badUserspaceAddress, kind: .badUserspaceAddress, member: "userspaceAddress"
        ) { slot, limits in
            let address = slot.userspaceAddress
            return address.isPageAligned
                ? "userspace address \(address) and size \(slot.size) do not lie in user space, "
                    + "which ends at \(limits.userspaceEnd)"
                : "userspace address \(address) is not a multiple of 4096"
        },
        Rule(
            rule: .badAddressSpace, kind: .badAddressSpace, member: "addressSpace"
        ) { slot, limits in
            "there is no such address space; the VM has \(limits.addressSpaces)"
        },
        Rule(
            rule: .addressOverflow, kind: .addressOverflow, member: "guestPhysicalAddress"
        ) { slot, _ in
            "guest physical address \(slot.guestPhysicalAddress) and size \(slot.size) wrap 2^64"
        },
        Rule(rule: .sizeTooLarge, kind: .sizeTooLarge, member: "size") { slot, limits in
            "size \(slot.size) is more than \(limits.maxPagesPerSlot) pages"
        },
    ]
}

/// In which order the faults of one slot are told.
enum ViolationOrder {
    /// Backing first, since it is resolved first; then the kernel's check order.
    private static let kinds: [ViolationKind] = [
        .backingMissing, .backingAmbiguous, .unknownMemory, .rawAddressRefused,
        .backingOutOfBounds, .backingMisaligned, .slotOutOfRange, .unsupportedFlag,
        .misalignedSize, .zeroSize, .misalignedAddress, .badUserspaceAddress, .guestMemfdMissing,
        .badAddressSpace, .addressOverflow, .sizeTooLarge, .duplicateSlot, .overlap,
        .guestMemfdRangeBound, .reservedAddress, .addressTooLarge, .tooManySlots,
    ]

    private static let ranks = Dictionary(
        uniqueKeysWithValues: kinds.enumerated().map { ($0.element, $0.offset) })

    static func rank(of kind: ViolationKind) -> Int { ranks[kind] ?? kinds.count }
}
