package import Memslots

/// Why a call failed, as text: certain where a rule is known to be broken, else the candidates.
package struct Explanation: Hashable, Sendable, CustomStringConvertible {
    /// The rule that refused the call; `nil` if it isn't certain.
    package var rule: SlotRule?
    package var sentences: [String]

    package var description: String { sentences.joined(separator: " ") }

    /// Explains the errno of this name. An array `isWhole` if it is known from the VM's creation.
    package init(_ call: AttemptedCall, errno: String, isWhole: Bool = true) {
        let refusals = call.refusals.filter {
            // Which kernel returned it may be unknown.
            $0.rule.errno(on: call.limits).name == errno
                || $0.rule == .fileRangeBound && errno == "EEXIST"
        }
        if let first = refusals.first {
            rule = first.rule
            sentences = ["\(errno): \(first.text)."]
            sentences += refusals.dropFirst().map { "Also: \($0.text)." }
            return
        }
        let candidates = Candidates(call: call, isWhole: isWhole).all(errno)
        // Their errnos have one cause, whatever the call is.
        let isCertain = errno == "ENOMEM" || Candidates.only[errno] != nil
        if isCertain, let only = candidates.first {
            rule = only.rule
            sentences = ["\(errno): \(only.text)."]
        } else {
            sentences = [
                "\(errno): no rule that can be checked here is broken. Possible causes:",
                candidates.map(\.text).joined(separator: "; ") + ".",
            ]
        }
    }

    package init(errno: String) {
        let nothing = RawRegion(
            slot: 0, flags: 0, guestPhysicalAddress: 0, memorySize: 0, userspaceAddress: 0)
        let call = AttemptedCall(nothing, slots: [], limits: .likely)
        let causes = Candidates(call: call, isWhole: false, hasWords: false).all(errno).map(\.text)
        sentences = [
            "\(errno): the call's words are not known. Possible causes:",
            causes.joined(separator: "; ") + ".",
        ]
    }

    /// Causes of `KVM_RUN` = `EFAULT`, with what a log or a measurement has `shown` of the memory.
    package static func runFault(shown: [String], isMeasured: Bool = false) -> Explanation {
        var all = Explanation(errno: "EFAULT")
        let causes =
            "the memory is unmapped (munmap) under a live slot; it is protected (mprotect), or "
            + "not writable and the slot is not read-only; it lies past the end of its "
            + "file; it has no page structure (a device's memory); a page of it is poisoned. "
            + "memslotctl run --report finds which."
        let lead =
            shown.isEmpty ? "Possible causes" : isMeasured ? "At that moment" : "The log shows"
        all.sentences =
            ["EFAULT: KVM_RUN could not reach the user memory behind a slot. \(lead):"]
            + (shown.isEmpty ? [causes] : shown)
        return all
    }
}

/// Causes of an errno that the call and the known array do not prove.
private struct Candidates {
    let call: AttemptedCall
    let isWhole: Bool
    var hasWords = true

    func all(_ errno: String) -> [SlotRefusal] {
        switch errno {
        case "EINVAL": return invalid
        case "EEXIST":
            return [
                SlotRefusal(
                    .overlap,
                    call.refusals.isEmpty
                        ? "the range overlaps a slot that is not shown here, but that KVM has"
                        : "the slots shown here are not those that the call met: with them it "
                            + "returns \(call.refusals[0].rule.errno(on: call.limits)), because "
                            + call.refusals[0].text),
                SlotRefusal(
                    .reserved,
                    "it meets pages that KVM keeps for itself: the local APIC at 0xfee00000, "
                        + "and on Intel the TSS and the identity map (KVM_SET_TSS_ADDR)"),
            ]
        case "ENOMEM": return [SlotRefusal(.memory, memory)]
        default:
            if let only = Self.only[errno] { return [only] }
            let text =
                "KVM's slot calls return no \(errno): a seccomp filter, a security module, "
                + "or a layer between the VMM and KVM refused it"
            return [SlotRefusal(.noSuchCall, text)]
        }
    }

    static let only: [String: SlotRefusal] = [
        "EIO": SlotRefusal(
            .otherProcess,
            "the caller is another process than the one that created the VM, such as a child after "
                + "fork: slot calls work in the VM's own process only. Or KVM has marked the VM as "
                + "dead (see the kernel's log)"),
        "EFAULT": SlotRefusal(
            .unreadable,
            "the kernel can't read the call's argument: the pointer is wrong, or it does not point "
                + "to 32 bytes (160 for KVM_SET_USER_MEMORY_REGION2)"),
        "EBADF": SlotRefusal(.fileNotOpen, "guest_memfd, or the VM's own descriptor, is not open"),
        "ENOTTY": SlotRefusal(
            .noSuchCall,
            "the descriptor is no VM, or the kernel has no such call: KVM_SET_USER_MEMORY_REGION2 "
                + "came with Linux 6.8 (KVM_CAP_USER_MEMORY2)"),
    ]

    private var invalid: [SlotRefusal] {
        let slot = call.slot
        guard hasWords else {
            return [
                SlotRefusal(
                    .sizeAlignment,
                    "a size, guest address or user address that is no multiple of 0x1000"),
                SlotRefusal(
                    .sizeIsFixed,
                    "a slot that exists and changes its size, user address or readonly: delete "
                        + "it first (size 0)"),
                SlotRefusal(.deletesNothing, "a deletion of a slot that does not exist"),
                SlotRefusal(
                    .unknownFlag,
                    "a flag, slot number, address space or guest address that the host or the "
                        + "VM's type does not have"),
                SlotRefusal(
                    .fileRangeBound,
                    "a guest_memfd of another VM, or a range of it that is bound or too long"),
            ]
        }
        var causes: [SlotRefusal] = []
        func add(_ applies: Bool, _ rule: SlotRule, _ text: String) {
            if applies { causes.append(SlotRefusal(rule, text)) }
        }
        add(
            slot.addressSpace != .main, .addressSpace,
            "slot=\(call.region.slot) is slot \(slot.assignedID) of address space "
                + "\(slot.addressSpace) (the upper 16 bits), and the VM has fewer "
                + "(KVM_CAP_MULTI_ADDRESS_SPACE; x86 has two with SMM)")
        add(
            !isWhole || !call.hasUserAddress, .sizeIsFixed,
            "slot \(slot.assignedKey) exists with another size, user address or readonly, which "
                + "can't change: delete it first (size 0)")
        add(
            slot.flags.contains(.readOnly), .unknownFlag,
            "the VM has no read-only memory (KVM_CAP_READONLY_MEM is 0), as TDX and other VM types "
                + "with private memory")
        add(
            slot.flags.contains(.guestMemfd), .fileRange,
            "the guest_memfd is of another VM, too short, or its range is bound to another slot; "
                + "before Linux 6.18 only VM types with private memory have it")
        add(
            !call.hasUserAddress, .userAddressAlignment,
            "the user address, which is not shown, is not a multiple of 0x1000 or not in user space"
        )
        let last = slot.guestPhysicalAddress.rawValue.addingSaturated(slot.size.rawValue) &- 1
        let bits = UInt64.bitWidth - last.leadingZeroBitCount
        add(
            slot.size != .zero && bits > 36, .lastGuestPage,
            "the range needs \(bits) address bits, and the host has fewer (36 to 52; "
                + "'address sizes' in /proc/cpuinfo)")
        add(slot.size == .zero, .deletesNothing, "there is no slot \(slot.assignedKey) to delete")
        add(
            true, .slotNumber,
            "the host has fewer slots or address spaces, or larger pages, than x86-64; or the user "
                + "address has tag bits")
        return causes
    }

    private var memory: String {
        let pages = ByteCount(call.region.memorySize).pages(of: call.limits.pageSize)
        let map = pages * 8
        let bitmap = call.slot.isLogging ? pages / 4 : 0
        return "the kernel has no memory for what it keeps of a slot of \(pages) pages: up to "
            + "\(map >> 10) KiB for the reverse map with shadow paging or nested guests"
            + (bitmap > 0 ? ", \(bitmap >> 10) KiB for the dirty log" : "")
            + ". A limit of the control group (memory.max) counts it too"
    }
}

extension Capabilities {
    /// The rules of x86-64 KVM with guest_memfd, and SMM's address space: what a host likely has.
    package static let likely = Capabilities(
        addressSpaces: 2, flags: [.logDirtyPages, .readOnly, .guestMemfd])
}
