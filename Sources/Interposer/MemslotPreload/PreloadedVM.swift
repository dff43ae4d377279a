import CPreload
import MemslotKVM
import MemslotSimulator
import Memslots

/// A VM of somebody else's VMM: the array that it wants, and the one that the kernel has.
final class PreloadedVM {
    let backend: PreloadBackend
    /// Takes each call as the kernel would if all before it had been made.
    private var wanted: SimulatedKernel
    private let table: MemslotTable
    /// By the VMM's descriptors: the handles under which `wanted` knows its guest_memfds.
    private var handles: [Int32: Int32] = [:]
    private var hasRing = false
    /// Guest pages that KVM may have a slot of its own on.
    var doubtful = DoubtfulPages()

    /// Takes a VM over that was just made.
    init?(number: UInt32, descriptor: Int32) {
        guard let capabilities = Capabilities(probing: descriptor) else { return nil }
        backend = PreloadBackend(number: number, capabilities: capabilities)
        wanted = SimulatedKernel(capabilities: capabilities)
        guard let table = try? MemslotTable(backend: backend, vcpus: HeldByGate()) else {
            return nil
        }
        self.table = table
    }

    /// Whether `KVM_GET_DIRTY_LOG` clears what it reads.
    var clearsByReading: Bool { wanted.dirtyLogProtection == .automatic }

    /// Answers a call, and notes what it changes.
    func ask(_ region: cpreload_region) -> Answer {
        let slot = slot(region)
        if slot.flags == .guestMemfd, slot.size != .zero, handles[region.guest_memfd] == nil {
            return .now
        }
        if doubtful.meet(slot), !wanted.hasThere(slot) { return .now }
        do throws(Errno) {
            let change = try wanted.setMemoryRegion(
                slot, form: region.form == 2 ? .region2 : .region)
            return change == .unchanged ? .unchanged : .changed
        } catch {
            return .refused(error)
        }
    }

    /// Makes the kernel's array the wanted one, or ends the process: what was promised is not.
    func commit() {
        do throws(SubmitError) {
            try table.submit(
                wanted.slots, options: SubmitOptions(quiesceDeadline: .seconds(Int64.max)))
        } catch {
            Report.stop(
                "--atomic had answered slot calls that can't be carried out: \(error.message). "
                    + "The VMM is stopped, because it believes otherwise")
        }
        keepDirtyBits()
    }

    /// Takes the bits that the transaction carried over to new slots.
    private func keepDirtyBits() {
        guard backend.takeHarvested(), !hasRing else { return }
        backend.isSilent = true
        defer { backend.isSilent = false }
        for slot in wanted.slots where slot.isLogging {
            guard let log = try? table.dirtyLog(of: slot, clear: true) else { continue }
            backend.kept.add(log.bitmap, to: slot.assignedKey)
        }
    }

    /// Makes a call that only the kernel can answer, and notes it where it succeeds.
    func carryOutNow(_ region: cpreload_region) -> Int32 {
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
            // Known by its slot alone: the descriptor may be closed unseen.
            handles[region.guest_memfd] = nil
        }
        do throws(Errno) {
            try wanted.setMemoryRegion(slot, form: region.form == 2 ? .region2 : .region)
        } catch {
            Report.stop(
                "the kernel took slot \(slot.assignedKey), which its rules refuse: \(error)")
        }
        // Of the table only: the kernel has it, and its dirty log with it.
        (backend.isDone, backend.isSilent) = (true, true)
        commit()
        (backend.isDone, backend.isSilent) = (false, false)
        return 0
    }

    /// Notes a guest_memfd.
    func open(_ descriptor: Int32, size: ByteCount) -> Int32? {
        guard let handle = try? wanted.createGuestMemfd(size: size) else { return nil }
        handles[descriptor] = handle
        backend.open(handle, copying: descriptor)
        return handle
    }

    /// Notes that the VMM closes one: its slots stay, with nothing behind them.
    func close(_ descriptor: Int32) {
        guard let handle = handles.removeValue(forKey: descriptor) else { return }
        try? wanted.closeGuestMemfd(handle)
        backend.close(handle)
    }

    /// Follows what changes the dirty log.
    func enabled(_ capability: UInt32, _ argument: UInt64) {
        switch capability {
        case 168: try? wanted.setManualDirtyLogProtect(argument)
        case 192, 223:
            hasRing = true
            backend.hasRing = true
        default: break
        }
    }

    /// Whether all guest memory that the kernel maps is mapped in what was asked, too.
    var coversInstalled: Bool {
        let wanted = wanted.slots.sorted(by: Memslot.standsBefore)
        var next = wanted[...]
        for old in table.snapshot().array.slots.sorted(by: Memslot.standsBefore) {
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

    /// Whether a slot stands on a range of user memory, in the kernel or in what was asked.
    func isBacked(by address: UInt64, _ size: UInt64) -> Bool {
        let (end, wraps) = address.addingReportingOverflow(size)
        let range = address..<(wraps ? .max : max(end, address))
        func meets(_ slot: Memslot) -> Bool {
            let start = slot.userspaceAddress.rawValue
            return range.overlaps(start..<start &+ slot.size.rawValue)
        }
        return wanted.slots.contains(where: meets)
            || table.snapshot().array.slots.contains(where: meets)
    }

    private func slot(_ region: cpreload_region) -> Memslot {
        let flags = MemslotFlags(rawValue: region.flags)
        return Memslot(
            id: SlotID(rawValue: region.slot & 0xffff),
            addressSpace: AddressSpaceID(rawValue: region.slot >> 16),
            guestPhysicalAddress: GuestPhysicalAddress(rawValue: region.guest_phys_addr),
            size: ByteCount(rawValue: region.memory_size),
            userspaceAddress: UserspaceAddress(rawValue: region.userspace_addr),
            flags: flags,
            guestMemfd: flags.contains(.guestMemfd)
                ? GuestMemfdBinding(
                    descriptor: handles[region.guest_memfd] ?? -1,
                    offset: ByteCount(rawValue: region.guest_memfd_offset)) : nil)
    }
}

extension Memslot {
    fileprivate static func standsBefore(_ left: Memslot, _ right: Memslot) -> Bool {
        (left.addressSpace, left.guestPhysicalAddress)
            < (right.addressSpace, right.guestPhysicalAddress)
    }
}

extension Capabilities {
    /// What a VM takes; `nil` where the host can't be asked.
    init?(probing vm: Int32) {
        guard let limits = hostLimits else { return nil }
        func value(_ capability: Int) -> UInt32 {
            UInt32(max(0, cpreload_check_extension(vm, capability)))
        }
        var flags: MemslotFlags = [.logDirtyPages]
        if value(81) > 0 { flags.insert(.readOnly) }
        if value(231) > 0, value(234) > 0 { flags.insert(.guestMemfd) }
        self.init(
            maxSlots: value(10) > 0 ? value(10) : 32, addressSpaces: max(1, value(118)),
            maxGuestPage: limits.maxGuestPage, userspaceEnd: limits.userspaceEnd, flags: flags)
    }
}

/// Probed once, on a VM of its own.
private let hostLimits: KVMLimits? = try? KVMSystem().limits()

/// The gate is closed from the first call on that is not committed; nothing is left to do.
private final class HeldByGate: VCPUHold {
    func begin() {}
    func waitUntilHeld(by deadline: Deadline) -> [String] { [] }
    func exclusively(_ body: () -> Void) { body() }
    func end() {}
}
