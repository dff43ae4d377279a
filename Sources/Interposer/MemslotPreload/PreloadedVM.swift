import CPreload
import MemslotKVM
import MemslotSimulator
import Memslots

/// A VM of the preloaded VMM: the array that the VMM requested, and the array that the kernel has.
final class PreloadedVM {
    let backend: PreloadBackend
    /// The requested array, with the results that the kernel would return.
    private var requested: SimulatedKernel
    private let table: MemslotTable
    /// The handles that `requested` has for guest_memfds, by the VMM's descriptors.
    private var handles: [Int32: Int32] = [:]
    var possiblyReserved = PossiblyReservedPages()

    /// Adopts a VM that was just created. `nil` if the host cannot be probed.
    init?(number: UInt32, descriptor: Int32) {
        guard let capabilities = Capabilities(probing: descriptor) else { return nil }
        backend = PreloadBackend(number: number, capabilities: capabilities)
        requested = SimulatedKernel(capabilities: capabilities)
        // The C part holds vCPUs from the first deferred call until the commit.
        guard let table = try? MemslotTable(backend: backend, vcpus: NoHold()) else { return nil }
        // Each call runs on the stack of its own thread.
        table.keepSubmitsOnTheirThreads()
        self.table = table
    }

    var clearsByReading: Bool { requested.dirtyLogProtection == .automatic }

    /// Validates a call by the kernel's rules, and adds its change to the requested array. Returns
    /// one of `CPRELOAD_…`, or minus the errno with which the kernel would refuse the call.
    func request(_ region: crun_region) -> Int32 {
        let slot = slot(region)
        // Only the kernel can decide: an unknown file, or guest pages that KVM may keep for itself.
        if slot.flags == .guestMemfd, slot.size != .zero, handles[region.guest_memfd] == nil {
            return CPRELOAD_UNDECIDED
        }
        if possiblyReserved.overlap(slot), !requested.contains(slot) { return CPRELOAD_UNDECIDED }
        do throws(Errno) {
            let change = try requested.setMemoryRegion(
                slot, form: region.form == 2 ? .region2 : .region)
            return change == .unchanged ? CPRELOAD_UNCHANGED : CPRELOAD_CHANGED
        } catch { return -error.rawValue }
    }

    /// Makes the requested array the kernel's, or ends the process: the VMM's results were wrong.
    func commit() {
        do throws(SubmitError) {
            try table.submit(
                requested.slots, options: SubmitOptions(quiesceDeadline: .seconds(Int64.max)))
        } catch {
            stop(
                "slot calls that --atomic reported as done cannot be applied: \(error.message). "
                    + "The VMM is stopped, because it believes otherwise")
        }
        // Keeps the bits that the transaction carried to other slots.
        guard backend.resetHarvested(), !backend.hasRing else { return }
        backend.isSilent = true
        defer { backend.isSilent = false }
        for slot in requested.slots where slot.isLogging {
            guard let log = try? table.dirtyLog(of: slot, clear: true) else { continue }
            backend.kept.add(log.bitmap, to: slot.assignedKey)
        }
    }

    /// Makes a call that only the kernel can decide. If it succeeds, both arrays have its change.
    func applyNow(_ region: crun_region) -> Int32 {
        var region = region
        var slot = slot(region)
        let result = cpreload_set_region(backend.number, &region)
        guard result == 0 else { return result }
        if let binding = slot.guestMemfd, binding.descriptor < 0 {
            let (size, wraps) = region.guest_memfd_offset.addingReportingOverflow(
                region.memory_size)
            guard !wraps, open(region.guest_memfd, size: ByteCount(rawValue: size)) != nil else {
                return result
            }
            slot = self.slot(region)
            // The file is known by its slot alone: its descriptor may be closed unnoticed.
            handles[region.guest_memfd] = nil
        }
        do throws(Errno) {
            try requested.setMemoryRegion(slot, form: region.form == 2 ? .region2 : .region)
        } catch {
            stop("the kernel accepted slot \(slot.assignedKey), which its rules refuse: \(error)")
        }
        follow()
        return 0
    }

    /// Makes the table's array the requested one, which the kernel has already, with its dirty logs.
    func follow() {
        backend.kept.follow(from: table.snapshot().array.slots, to: requested.slots)
        (backend.isApplied, backend.isSilent) = (true, true)
        commit()
        (backend.isApplied, backend.isSilent) = (false, false)
    }

    func open(_ descriptor: Int32, size: ByteCount) -> Int32? {
        guard let handle = try? requested.makeGuestMemfd(size: size) else { return nil }
        handles[descriptor] = handle
        backend.open(handle, copying: descriptor)
        return handle
    }

    /// Removes a guest_memfd that the VMM closes. Its slots stay, without a file.
    func close(_ descriptor: Int32) {
        guard let handle = handles.removeValue(forKey: descriptor) else { return }
        try? requested.closeGuestMemfd(handle)
        backend.close(handle)
    }

    /// Follows a capability that changes the dirty log.
    func enabled(_ capability: UInt32, _ argument: UInt64) {
        switch KVMCapability(rawValue: Int32(bitPattern: capability)) {
        case .manualDirtyLogProtect2: try? requested.setManualDirtyLogProtect(argument)
        case .dirtyLogRing, .dirtyLogRingAcqRel: backend.hasRing = true
        default: break
        }
    }

    /// Whether the requested array maps all guest memory that the kernel's slots map.
    var coversInstalled: Bool {
        var next = requested.slots.sortedByAddress()[...]
        for old in table.snapshot().array.slots.sortedByAddress() {
            var address = old.guestPhysicalAddress
            while address < old.guestPhysicalEnd {
                while let slot = next.first,
                    slot.addressSpace < old.addressSpace
                        || slot.addressSpace == old.addressSpace
                            && slot.guestPhysicalEnd <= address
                {
                    next = next.dropFirst()
                }
                guard let slot = next.first, slot.addressSpace == old.addressSpace,
                    slot.guestPhysicalAddress <= address
                else { return false }
                address = slot.guestPhysicalEnd
            }
        }
        return true
    }

    /// Whether a slot, installed or requested, is backed by a range of user memory.
    func isBacked(by address: UInt64, _ size: UInt64) -> Bool {
        let (end, wraps) = address.addingReportingOverflow(size)
        let range = address..<(wraps ? .max : max(end, address))
        func overlaps(_ slot: Memslot) -> Bool {
            let start = slot.userspaceAddress.rawValue
            return range.overlaps(start..<start &+ slot.size.rawValue)
        }
        return requested.slots.contains(where: overlaps)
            || table.snapshot().array.slots.contains(where: overlaps)
    }

    private func slot(_ region: crun_region) -> Memslot {
        let words = RawRegion(
            slot: region.slot, flags: region.flags, guestPhysicalAddress: region.guest_phys_addr,
            memorySize: region.memory_size, userspaceAddress: region.userspace_addr)
        let binding = GuestMemfdBinding(
            descriptor: handles[region.guest_memfd] ?? -1,
            offset: ByteCount(rawValue: region.guest_memfd_offset))
        let isBound = MemslotFlags(rawValue: region.flags).contains(.guestMemfd)
        return Memslot(words, guestMemfd: isBound ? binding : nil)
    }
}

extension Capabilities {
    /// The limits of a VM; `nil` if the host cannot be probed.
    init?(probing vm: Int32) {
        guard let limits = hostLimits else { return nil }
        func value(_ capability: KVMCapability) -> UInt32 {
            UInt32(max(0, cpreload_check_extension(vm, Int(capability.rawValue))))
        }
        var flags: MemslotFlags = [.logDirtyPages]
        if value(.readOnlyMemory) > 0 { flags.insert(.readOnly) }
        if value(.userMemory2) > 0, value(.guestMemfd) > 0 { flags.insert(.guestMemfd) }
        self.init(
            maxSlots: value(.memorySlots) > 0 ? value(.memorySlots) : 32,
            addressSpaces: max(1, value(.multiAddressSpace)),
            maxGuestPage: limits.maxGuestPage, userspaceEnd: limits.userspaceEnd, flags: flags,
            pageSize: limits.pageSize, facts: limits.facts)
    }
}

/// Measured once, on a VM of its own.
private let hostLimits: KVMLimits? = try? KVMSystem().limits()

/// Guest pages where KVM may have a slot of its own, which depends on the host and cannot be
/// queried. If it has one, it refuses a slot of the VMM there with `EEXIST`. Kernel:
/// `__x86_set_memory_region` in arch/x86/kvm; `KVM_PRIVATE_MEM_SLOTS`. With a VMX that cannot run a
/// guest in real mode: the three pages of `KVM_SET_TSS_ADDR` and the page of
/// `KVM_SET_IDENTITY_MAP_ADDR`. With APIC acceleration, from the first vCPU on: the APIC's page.
struct PossiblyReservedPages {
    // The APIC's page, and the identity map's default.
    private var ranges: [Range<UInt64>] = [0xfee0_0000..<0xfee0_1000, 0xfffb_c000..<0xfffb_d000]

    /// Adds pages that the VMM assigned to KVM.
    mutating func append(_ start: UInt64, _ size: UInt64) {
        let (end, wraps) = start.addingReportingOverflow(size)
        ranges.append(start..<(wraps ? .max : end))
    }

    /// Whether they overlap `slot`, in any address space.
    func overlap(_ slot: Memslot) -> Bool {
        let start = slot.guestPhysicalAddress.rawValue
        let (end, wraps) = start.addingReportingOverflow(slot.size.rawValue)
        guard start < end || wraps else { return false }
        return ranges.contains { $0.overlaps(start..<(wraps ? .max : end)) }
    }
}

extension SimulatedKernel {
    /// Whether the slot has the same pages already, so that no slot of KVM's own can be there.
    func contains(_ slot: Memslot) -> Bool {
        slots.contains {
            $0.key == slot.assignedKey && $0.guestPhysicalAddress == slot.guestPhysicalAddress
                && $0.size == slot.size
        }
    }
}
