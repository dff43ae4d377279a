package import Memslots

/// Why a call failed, as text: certain where a rule is known to be broken, else the candidates.
package struct Explanation: Hashable, Sendable, CustomStringConvertible {
    /// The rule that refused the call; `nil` if it isn't certain.
    package var rule: SlotRule?
    package var sentences: [String]

    package var description: String { sentences.joined(separator: " ") }

    /// Explains the errno of this name. An array `isWhole` if it is known from the VM's creation.
    package init(_ call: AttemptedCall, errno: String, isWhole: Bool = true) {
        var refusals = call.refusals.filter {
            // Which kernel returned it may be unknown.
            $0.rule.errno(on: call.limits).name == errno
                || $0.rule == .fileRangeBound && errno == "EEXIST"
        }
        if refusals.isEmpty { refusals = call.onlyCause(of: errno).map { [$0] } ?? [] }
        rule = refusals.first?.rule
        guard let first = refusals.first else {
            let causes = errno == "EINVAL" ? call.causes(isWhole: isWhole) : call.causes(of: errno)
            sentences = [
                "\(errno): no rule that can be checked here is broken. Possible causes:",
                causes.joined(separator: "; ") + ".",
            ]
            return
        }
        sentences = ["\(errno): \(first.text)."]
        sentences += refusals.dropFirst().map { "Also: \($0.text)." }
    }

    package init(errno: String) {
        let nothing = RawRegion(
            slot: 0, flags: 0, guestPhysicalAddress: 0, memorySize: 0, userspaceAddress: 0)
        let call = AttemptedCall(nothing, slots: [], limits: .likely)
        let causes =
            errno == "EINVAL"
            ? AttemptedCall.causesOfAnyCall
            : call.onlyCause(of: errno).map { [$0.text] } ?? call.causes(of: errno)
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
extension AttemptedCall {
    /// The cause of an errno that has only one, whatever the call is.
    fileprivate func onlyCause(of errno: String) -> SlotRefusal? {
        switch errno {
        case "EIO":
            SlotRefusal(
                .otherProcess,
                "the caller is another process than the one that created the VM, such as a child "
                    + "after fork: slot calls work in the VM's own process only. Or KVM has marked "
                    + "the VM as dead (see the kernel's log)")
        case "EFAULT":
            SlotRefusal(
                .unreadable,
                "the kernel can't read the call's argument: the pointer is wrong, or it does not "
                    + "point to 32 bytes (160 for KVM_SET_USER_MEMORY_REGION2)")
        case "EBADF":
            SlotRefusal(.fileNotOpen, "guest_memfd, or the VM's own descriptor, is not open")
        case "ENOTTY":
            SlotRefusal(
                .noSuchCall,
                "the descriptor is no VM, or the kernel has no such call: "
                    + "KVM_SET_USER_MEMORY_REGION2 came with Linux 6.8 (KVM_CAP_USER_MEMORY2)")
        case "ENOMEM": SlotRefusal(.memory, memory)
        default: nil
        }
    }

    fileprivate func causes(of errno: String) -> [String] {
        guard errno == "EEXIST" else {
            return [
                "KVM's slot calls return no \(errno): a seccomp filter, a security module, "
                    + "or a layer between the VMM and KVM refused it"
            ]
        }
        return [
            refusals.isEmpty
                ? "the range overlaps a slot that is not shown here, but that KVM has"
                : "the slots shown here are not those that the call met: with them it "
                    + "returns \(refusals[0].rule.errno(on: limits)), because \(refusals[0].text)",
            "it meets pages that KVM keeps for itself: the local APIC at 0xfee00000, "
                + "and on Intel the TSS and the identity map (KVM_SET_TSS_ADDR)",
        ]
    }

    /// Causes of `EINVAL` for a call whose words are not known.
    fileprivate static let causesOfAnyCall = [
        "a size, guest address or user address that is no multiple of 0x1000",
        "a slot that exists and changes its size, user address or readonly: "
            + "delete it first (size 0)", "a deletion of a slot that does not exist",
        "a flag, slot number, address space or guest address that the host or the VM's type "
            + "does not have",
        "a guest_memfd of another VM, or a range of it that is bound or too long",
    ]

    /// Causes of `EINVAL`.
    fileprivate func causes(isWhole: Bool) -> [String] {
        let last = slot.guestPhysicalAddress.rawValue.addingSaturated(slot.size.rawValue) &- 1
        let bits = UInt64.bitWidth - last.leadingZeroBitCount
        var causes: [String] = []
        func add(_ applies: Bool, _ text: String) { if applies { causes.append(text) } }
        add(
            slot.addressSpace != .main,
            "slot=\(region.slot) is slot \(slot.assignedID) of address space "
                + "\(slot.addressSpace) (the upper 16 bits), and the VM has fewer "
                + "(KVM_CAP_MULTI_ADDRESS_SPACE; x86 has two with SMM)")
        add(
            !isWhole || !hasUserAddress,
            "slot \(slot.assignedKey) exists with another size, user address or readonly, which "
                + "can't change: delete it first (size 0)")
        add(
            slot.flags.contains(.readOnly),
            "the VM has no read-only memory (KVM_CAP_READONLY_MEM is 0), as TDX and other VM types "
                + "with private memory")
        add(
            slot.flags.contains(.guestMemfd),
            "the guest_memfd is of another VM, too short, or its range is bound to another slot; "
                + "before Linux 6.18 only VM types with private memory have it")
        add(
            !hasUserAddress,
            "the user address, which is not shown, is not a multiple of 0x1000 or not in user space"
        )
        add(
            slot.size != .zero && bits > 36,
            "the range needs \(bits) address bits, and the host has fewer (36 to 52; "
                + "'address sizes' in /proc/cpuinfo)")
        add(slot.size == .zero, "there is no slot \(slot.assignedKey) to delete")
        add(
            true,
            "the host has fewer slots or address spaces, or larger pages, than x86-64; or the user "
                + "address has tag bits")
        return causes
    }

    private var memory: String {
        let pages = ByteCount(region.memorySize).pages(of: limits.pageSize)
        let bitmap = slot.isLogging ? pages / 4 : 0
        return "the kernel has no memory for what it keeps of a slot of \(pages) pages: up to "
            + "\((pages * 8) >> 10) KiB for the reverse map with shadow paging or nested guests"
            + (bitmap > 0 ? ", \(bitmap >> 10) KiB for the dirty log" : "")
            + ". A limit of the control group (memory.max) counts it too"
    }
}

extension Capabilities {
    /// The rules of x86-64 KVM with guest_memfd, and SMM's address space: what a host likely has.
    package static let likely = Capabilities(
        addressSpaces: 2, flags: [.logDirtyPages, .readOnly, .guestMemfd])
}
