import MemslotProtocol
package import MemslotScenario
import MemslotSimulator
package import Memslots

/// The kernel's twin as a target of raw calls.
package final class SimulatedTarget: RawCallTarget {
    private let vm: SimulatedRawVM

    /// A VM without slots.
    ///
    /// - Parameter capabilities: what it allows; by default what Linux 6.18 does.
    package init(capabilities: Capabilities = SimulatedTarget.recordedKernel) {
        vm = SimulatedRawVM(capabilities: capabilities)
    }

    /// Linux 6.18 with the default type of VM.
    package static var recordedKernel: Capabilities { SimulatedRawVM.recordedKernel }

    /// Carries `call` out by the kernel's rules.
    package func carryOut(_ call: RawCall) -> RawReply {
        do throws(Errno) {
            switch call {
            case .setRegion(let region): return RawReply(vm.setUserMemoryRegion(region))
            case .getDirtyLog(let slot, let isWritable):
                let log = try vm.kernel.getDirtyLog(
                    of: SlotKey(word: slot), destinationIsWritable: isWritable)
                return RawReply(.success, dirtyPages: log.runs)
            case .clearDirtyLog(let slot, let firstPage, let pageCount, let words):
                try vm.kernel.clearDirtyLog(
                    of: SlotKey(word: slot), firstPage: firstPage, pageCount: pageCount,
                    words: words)
            case .setManualDirtyLogProtect(let argument):
                try vm.kernel.setManualDirtyLogProtect(argument)
            case .guestWrite(let address): return write(address)
            }
            return RawReply(.success)
        } catch {
            return RawReply(error)
        }
    }

    private func write(_ address: UInt64) -> RawReply {
        guard address < WritingGuest.addressEnd else { return RawReply(.invalidArgument) }
        if let errno = vm.setUserMemoryRegion(WritingGuest.slot(isInstalled: true)) {
            return RawReply(errno)
        }
        defer { _ = vm.setUserMemoryRegion(WritingGuest.slot(isInstalled: false)) }
        do throws(TouchError) {
            try vm.kernel.touch(GuestPhysicalAddress(address), size: ByteCount(1))
            return RawReply(.success, exit: RawReply.written)
        } catch {
            return RawReply(.success, exit: RawReply.mmio)
        }
    }

    /// Compares with what is installed.
    package func difference(from slots: [Memslot], protection: UInt64) -> String? {
        let installed = Dictionary(uniqueKeysWithValues: self.slots.map { ($0.assignedKey, $0) })
        for slot in slots where installed[slot.assignedKey] != slot {
            return "slot \(slot.assignedKey) is not as it is to be"
        }
        return installed.count == slots.count ? nil : "there are slots too many"
    }

    /// What is installed, ascending by key. What a call named as guest_memfd is left out: it
    /// can't be seen from outside.
    var slots: [Memslot] {
        vm.kernel.slots.map { slot in
            Memslot(
                id: slot.id, addressSpace: slot.addressSpace,
                guestPhysicalAddress: slot.guestPhysicalAddress, size: slot.size,
                userspaceAddress: slot.userspaceAddress, flags: slot.flags)
        }
    }

    /// The argument of `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2` in force.
    var protection: UInt64 { vm.kernel.dirtyLogProtection.rawValue }

    /// The installed slot that a call names.
    subscript(word: UInt32) -> Memslot? { vm.kernel[SlotKey(word: word)] }

    /// Whether `region` would be carried out, without carrying it out.
    func takes(_ region: RawRegion) -> Bool {
        // Refused, but a file that it names is open from now on, also in the state kept here.
        var refused = region
        refused.memorySize = 1
        _ = vm.setUserMemoryRegion(refused)
        let kernel = vm.kernel
        defer { vm.kernel = kernel }
        return vm.setUserMemoryRegion(region) == nil
    }

    /// Whether a guest's write there ends in the same way on every host: it hits no memory, or
    /// memory that is mapped and no guest_memfd.
    func isPredictable(writeTo address: UInt64) -> Bool {
        guard address < WritingGuest.addressEnd,
            address / pageSize.rawValue != WritingGuest.codeAddress / pageSize.rawValue
        else { return false }
        let space = AddressSpaceID.main
        guard
            let slot = slots.first(where: {
                $0.addressSpace == space && $0.guestPhysicalAddress.rawValue <= address
                    && address < $0.guestPhysicalEnd.rawValue
            })
        else { return true }
        if slot.flags.contains(.guestMemfd) { return false }
        let offset = address - slot.guestPhysicalAddress.rawValue
        return UserWindow.contains(slot.userspaceAddress.rawValue + offset)
    }
}

extension SlotKey {
    /// The slot that the kernel's word names: id in bits 0-15, address space in bits 16-31.
    init(word: UInt32) {
        self.init(addressSpace: AddressSpaceID(word >> 16), id: SlotID(word & 0xffff))
    }
}

/// A fresh VM that answers raw calls: the kernel's, or its twin.
///
/// Not for use by several threads at once.
package protocol RawCallTarget: AnyObject {
    /// Carries `call` out.
    func carryOut(_ call: RawCall) -> RawReply

    /// Holds what is installed against `slots`.
    ///
    /// - Parameters:
    ///   - slots: every slot that is to be there, each with its id, without what it is bound to.
    ///   - protection: the argument of `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2` that is in force.
    /// - Returns: what differs; `nil` where nothing does.
    func difference(from slots: [Memslot], protection: UInt64) -> String?
}

/// The code of a guest that writes one byte, in a slot of its own for the time of the write.
enum WritingGuest {
    /// `mov [0], al`, then `hlt`, in 16-bit real mode. DS begins at the byte.
    static let code: [UInt8] = [0xa2, 0x00, 0x00, 0xf4]
    /// Real mode reaches no byte past it.
    static let addressEnd: UInt64 = 1 << 32

    /// The call that installs the code's slot, or takes it away.
    static func slot(isInstalled: Bool) -> RawRegion {
        RawRegion(
            slot: 30_000, flags: 0, guestPhysicalAddress: codeAddress,
            memorySize: isInstalled ? pageSize.rawValue : 0,
            userspaceAddress: UserWindow.code.rawValue)
    }

    /// Where the guest finds its code.
    static let codeAddress: UInt64 = 0x7000_0000
}
