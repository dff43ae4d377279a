package import Memslots

/// A rule of the kernel that a slot call breaks, in the order of the checks.
/// Kernel: `kvm_set_memory_region` in virt/kvm/kvm_main.c.
package enum SlotRule: String, CaseIterable, Hashable, Sendable {
    case otherProcess, unreadable, noSuchCall
    case oldCallFlags, slotNumber, unknownFlag, flagsTogether, sizeAlignment, addressAlignment
    case userAddressAlignment, userSpaceEnd, offsetAlignment, offsetOverflow, addressSpace
    case addressOverflow, tooManyPages
    case deletesNothing, guestMemfdIsFixed, sizeIsFixed, userAddressIsFixed, readOnlyIsFixed
    case overlap, reserved, memory
    case fileNotOpen, fileOfAnotherKind, fileRange, fileRangeBound
    case lastGuestPage

    package func errno(on limits: Capabilities) -> Errno {
        switch self {
        case .otherProcess: .ioError
        case .unreadable: .badAddress
        case .noSuchCall: Errno(rawValue: 25)
        case .overlap, .reserved: .fileExists
        case .memory: .outOfMemory
        case .fileNotOpen: .badFileDescriptor
        case .fileRangeBound: limits.facts.boundRange
        case .lastGuestPage: limits.facts.pastLastPage
        default: .invalidArgument
        }
    }
}

/// Why the kernel refuses a slot call: the rule, what the call met, and what would work.
package struct SlotRefusal: Hashable, Sendable {
    package var rule: SlotRule
    /// One sentence or more, for a person who has only a bug report.
    package var text: String

    init(_ rule: SlotRule, _ text: String) { (self.rule, self.text) = (rule, text) }
}

package struct AttemptedCall: Sendable {
    package var region: RawRegion
    package var slots: [Memslot]
    package var limits: Capabilities
    package var hasUserAddress = true
    /// The size of every guest_memfd, if it is known.
    package var fileSize: UInt64?

    package init(_ region: RawRegion, slots: [Memslot], limits: Capabilities) {
        (self.region, self.slots, self.limits) = (region, slots, limits)
    }

    var slot: Memslot { Memslot(region) }
    private var name: String { "slot \(slot.assignedKey)" }
    private var isOld: Bool { region.guestMemfd == nil }
    private var present: Memslot? { slots.first { $0.assignedKey == slot.assignedKey } }

    /// The broken rules, in the order in which the kernel checks them.
    package var refusals: [SlotRefusal] {
        // The rules of the table need a range that does not wrap.
        let own = ownRefusals
        return own.isEmpty ? tableRefusals : own
    }

    private var ownRefusals: [SlotRefusal] {
        let broken = SlotRules.broken(by: slot, capabilities: limits)
        let known: MemslotFlags = [.logDirtyPages, .readOnly, .guestMemfd]
        let flags = MemslotFlags(rawValue: region.flags)
        var all: [SlotRefusal] = []
        func add(_ isBroken: Bool, _ rule: SlotRule, _ text: @autoclosure () -> String) {
            if isBroken { all.append(SlotRefusal(rule, text())) }
        }
        add(
            isOld && !flags.isSubset(of: [.logDirtyPages, .readOnly]), .oldCallFlags,
            "flags \(hex(region.flags)): KVM_SET_USER_MEMORY_REGION takes only "
                + "KVM_MEM_LOG_DIRTY_PAGES (1) and KVM_MEM_READONLY (2). For a guest_memfd use "
                + "KVM_SET_USER_MEMORY_REGION2 (since Linux 6.8)")
        add(
            broken.contains(.slotOutOfRange), .slotNumber,
            "slot number \(region.slot & 0xffff) is not below \(limits.maxSlots), the number of "
                + "slots of an address space (KVM_CAP_NR_MEMSLOTS). Use a lower number")
        add(
            !flags.isSubset(of: limits.flags) && all.isEmpty, .unknownFlag,
            "flags \(hex(region.flags)): this VM takes \(limits.flags.names.joined(separator: ", ")). "
                + (flags.isSubset(of: known)
                    ? "guest-memfd needs a VM type with private memory before Linux 6.18; readonly "
                        + "is missing where KVM_CAP_READONLY_MEM is 0"
                    : "The other bits are reserved"))
        add(
            flags.contains(.guestMemfd) && flags != .guestMemfd && flags.isSubset(of: limits.flags),
            .flagsTogether,
            "KVM_MEM_GUEST_MEMFD (4) goes with no other flag: such a slot can neither log dirty "
                + "pages nor be read-only")
        add(
            broken.contains(.misalignedSize), .sizeAlignment,
            "size \(hex(region.memorySize)) is not a multiple of \(limits.slotGranule): \(pages). Use "
                + "\(hex((region.memorySize &+ offGranule) & ~offGranule)), and have that much memory "
                + "behind it")
        add(
            broken.contains(.misalignedAddress), .addressAlignment,
            "guest address \(hex(region.guestPhysicalAddress)) is not a multiple of "
                + "\(limits.slotGranule). Use \(hex(region.guestPhysicalAddress & ~offGranule))")
        if hasUserAddress {
            let isAligned = slot.userspaceAddress.isMultiple(of: limits.slotGranule)
            add(
                !isAligned, .userAddressAlignment,
                "user address \(hex(region.userspaceAddress)) is not a multiple of "
                    + "\(limits.slotGranule)"
                    + (region.memorySize == 0 ? "; a deletion is checked too" : "")
                    + ". mmap returns such addresses; malloc does not")
            add(
                isAligned && broken.contains(.badUserspaceAddress), .userSpaceEnd,
                "user memory \(Self.range(region.userspaceAddress, region.memorySize)) is not "
                    + "wholly in user space, which ends at \(limits.userspaceEnd)")
        }
        add(
            broken.contains(.misalignedGuestMemfd), .offsetAlignment,
            "guest_memfd_offset \(hex(region.guestMemfdOffset)) is not a multiple of "
                + "\(limits.pageSize)")
        add(
            broken.contains(.guestMemfdOverflow), .offsetOverflow,
            "guest_memfd_offset \(hex(region.guestMemfdOffset)) and size wrap 2^64")
        add(
            broken.contains(.badAddressSpace), .addressSpace,
            "slot=\(region.slot) is slot \(region.slot & 0xffff) of address space "
                + "\(region.slot >> 16) (the upper 16 bits), and this VM has "
                + "\(limits.addressSpaces). x86 has a second one, for SMM, if the kernel is built "
                + "with CONFIG_KVM_SMM: ask KVM_CAP_MULTI_ADDRESS_SPACE")
        add(
            broken.contains(.addressOverflow), .addressOverflow,
            "guest address \(hex(region.guestPhysicalAddress)) and size \(hex(region.memorySize)) "
                + "reach 2^64")
        add(
            broken.contains(.sizeTooLarge), .tooManyPages,
            "size \(hex(region.memorySize)) is more than \(limits.maxPagesPerSlot) pages, the most "
                + "of a slot. Use several slots")
        return all
    }

    private var tableRefusals: [SlotRefusal] {
        if region.memorySize == 0 {
            let text = "size 0 deletes \(name), and there is no such slot"
            return present == nil ? [SlotRefusal(.deletesNothing, text)] : []
        }
        if let old = present, let change = fixed(in: old) { return [change] }
        var all: [SlotRefusal] = []
        let range = slot.guestPhysicalAddress..<slot.guestPhysicalEnd
        if present?.guestPhysicalAddress != slot.guestPhysicalAddress {
            if let other = overlapped(by: range) { all.append(overlap(with: other)) }
            if let kept = limits.reservedRanges.first(where: { $0.overlaps(range) }) {
                let text =
                    "\(self.range) meets \(kept.lowerBound)-"
                    + "\(hex(kept.upperBound.rawValue &- 1)), which KVM keeps for itself"
                all.append(SlotRefusal(.reserved, text))
            }
        }
        if let file = file { all.append(file) }
        if SlotRules.exceedsGuestPages(slot, capabilities: limits) {
            let limit = (limits.maxGuestPage &+ 1) &* limits.pageSize.rawValue
            let text =
                "\(self.range) ends past \(limits.guestPhysicalBits) bits, the guest addresses of "
                + "this host. KVM checks it last: a move that it refuses has been visible to the "
                + "guest. Place the range below \(hex(limit))"
            all.append(SlotRefusal(.lastGuestPage, text))
        }
        return all
    }

    /// What the call changes of a slot that exists, and the kernel can't.
    private func fixed(in old: Memslot) -> SlotRefusal? {
        func refusal(_ rule: SlotRule, _ what: String) -> SlotRefusal {
            SlotRefusal(
                rule,
                "\(name) exists at \(Self.range(old)), user address \(old.userspaceAddress), and "
                    + "\(what); delete it first (size 0), then create it")
        }
        if slot.flags.union(old.flags).contains(.guestMemfd) {
            let isPossible = !slot.flags.contains(.guestMemfd) && limits.flags.contains(.guestMemfd)
            return refusal(
                .guestMemfdIsFixed,
                "a guest_memfd slot can only be deleted, not even set again as it is"
                    + (isPossible ? " (6.18.0 to 6.18.2 let the flag go)" : ""))
        }
        if slot.size != old.size {
            let sizes = "\(hex(old.size.rawValue)) to \(hex(region.memorySize))"
            return refusal(.sizeIsFixed, "a size can't change (\(sizes))")
        }
        if hasUserAddress, slot.userspaceAddress != old.userspaceAddress {
            let address = hex(region.userspaceAddress)
            return refusal(.userAddressIsFixed, "a user address can't change (to \(address))")
        }
        let isSame = slot.flags.contains(.readOnly) == old.flags.contains(.readOnly)
        return isSame ? nil : refusal(.readOnlyIsFixed, "KVM_MEM_READONLY can't change")
    }

    private func overlapped(by range: Range<GuestPhysicalAddress>) -> Memslot? {
        slots.first {
            $0.isPossible && $0.addressSpace == slot.addressSpace
                && $0.assignedKey != slot.assignedKey
                && ($0.guestPhysicalAddress..<$0.guestPhysicalEnd).overlaps(range)
        }
    }

    private func overlap(with other: Memslot) -> SlotRefusal {
        let theirs = other.key.map { "slot \($0)" } ?? "the slot without an id"
        var ways = ["delete \(theirs) first, and create what stays of it again"]
        if other.guestPhysicalEnd.advanced(by: slot.size) != nil {
            ways.append("place \(name) from \(other.guestPhysicalEnd) on")
        }
        return SlotRefusal(
            .overlap,
            "\(range) of \(name) overlaps \(theirs) at \(Self.range(other)): "
                + ways.joined(separator: ", or ")
                + ". The kernel compares with the slots at the moment of the call")
    }

    private var file: SlotRefusal? {
        guard slot.flags.contains(.guestMemfd), let word = region.guestMemfd else { return nil }
        guard case .file = word else {
            return word == .none
                ? SlotRefusal(.fileNotOpen, "guest_memfd=-1 is no open descriptor")
                : SlotRefusal(
                    .fileOfAnotherKind,
                    "guest_memfd is no guest_memfd of this VM: KVM_CREATE_GUEST_MEMFD on the "
                        + "same VM returns one")
        }
        let bytes = "bytes \(Self.range(region.guestMemfdOffset, region.memorySize)) of the file"
        let end = region.guestMemfdOffset &+ region.memorySize
        let isNegative = region.guestMemfdOffset > UInt64(Int64.max)
        if let fileSize, isNegative || Int64(bitPattern: end) > Int64(clamping: fileSize) {
            return SlotRefusal(.fileRange, "\(bytes) are past its end, \(hex(fileSize))")
        }
        guard let bound = slots.first(where: { $0.binds(slot) }) else { return nil }
        return SlotRefusal(
            .fileRangeBound,
            "\(bytes) are bound to slot \(bound.assignedKey) already, which has "
                + "\(Self.range(bound.guestMemfd?.offset.rawValue ?? 0, bound.size.rawValue)): a page of a "
                + "guest_memfd can be in one slot only. Delete that slot first, or give this one "
                + "memory of its own")
    }

    private var pages: String {
        "\(ByteCount(region.memorySize).pages(of: limits.pageSize)) pages and "
            + "\(region.memorySize & (limits.pageSize.rawValue - 1)) bytes"
    }

    /// The bits of a number that is no multiple of the slot granule.
    private var offGranule: UInt64 { limits.slotGranule.rawValue - 1 }
    private var range: String { Self.range(region.guestPhysicalAddress, region.memorySize) }

    /// `0xc0000-0xdffff`, as everywhere.
    private static func range(_ start: UInt64, _ size: UInt64) -> String {
        "\(hex(start))-\(hex(start &+ max(size, 1) &- 1))"
    }

    private static func range(_ slot: Memslot) -> String {
        range(slot.guestPhysicalAddress.rawValue, slot.size.rawValue)
    }
}

extension Memslot {
    fileprivate func binds(_ other: Memslot) -> Bool {
        guard flags.contains(.guestMemfd), let one = guestMemfd, let two = other.guestMemfd,
            one.descriptor == two.descriptor
        else { return false }
        return (one.offset.rawValue..<one.offset.rawValue.addingSaturated(size.rawValue)).overlaps(
            two.offset.rawValue..<two.offset.rawValue.addingSaturated(other.size.rawValue))
    }

    package init(_ region: RawRegion) {
        self.init(
            region,
            guestMemfd: region.guestMemfd.map { file in
                var descriptor = GuestMemfdBinding.own.descriptor
                if case .file(let index) = file { descriptor = Int32(bitPattern: index) }
                return GuestMemfdBinding(
                    descriptor: descriptor, offset: ByteCount(rawValue: region.guestMemfdOffset))
            })
    }
}

extension RawRegion {
    /// The words that set a slot, or with size 0 delete it.
    package init(_ slot: Memslot, size: ByteCount) {
        self.init(
            slot: slot.assignedID.rawValue | slot.addressSpace.rawValue << 16,
            flags: slot.flags.rawValue, guestPhysicalAddress: slot.guestPhysicalAddress.rawValue,
            memorySize: size.rawValue, userspaceAddress: slot.userspaceAddress.rawValue)
    }
}
