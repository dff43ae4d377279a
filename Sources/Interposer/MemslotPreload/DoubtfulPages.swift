import MemslotSimulator
import Memslots

/// Guest pages on which KVM may have a slot of its own, depending on the host: then a slot of the
/// VMM's is refused there with `EEXIST`, and nothing tells beforehand.
///
/// Kernel: `__x86_set_memory_region` in arch/x86/kvm; `KVM_PRIVATE_MEM_SLOTS`. The three pages of
/// `KVM_SET_TSS_ADDR` and the page of `KVM_SET_IDENTITY_MAP_ADDR` where VMX can't run a guest in
/// real mode, and the page of the APIC, from the first vCPU on, where the processor makes its
/// accesses faster.
struct DoubtfulPages {
    // The identity map's is where it is if the VMM doesn't say.
    private var ranges: [Range<UInt64>] = [
        0xfee0_0000..<0xfee0_1000, 0xfffb_c000..<0xfffb_d000,
    ]

    /// Adds what the VMM gave to KVM.
    mutating func add(_ start: UInt64, _ size: UInt64) {
        let (end, wraps) = start.addingReportingOverflow(size)
        ranges.append(start..<(wraps ? .max : end))
    }

    /// Whether `slot` is on one of them, in whatever address space.
    func meet(_ slot: Memslot) -> Bool {
        let start = slot.guestPhysicalAddress.rawValue
        let (end, wraps) = start.addingReportingOverflow(slot.size.rawValue)
        guard start < end || wraps else { return false }
        return ranges.contains { $0.overlaps(start..<(wraps ? .max : end)) }
    }
}

extension SimulatedKernel {
    /// Whether the slot is where it is to be, so that nothing of the kernel's can be there.
    func hasThere(_ slot: Memslot) -> Bool {
        slots.contains {
            $0.key == slot.assignedKey && $0.guestPhysicalAddress == slot.guestPhysicalAddress
                && $0.size == slot.size
        }
    }
}
