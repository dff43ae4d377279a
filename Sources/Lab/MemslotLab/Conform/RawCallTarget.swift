import MemslotProtocol
package import MemslotScenario
package import MemslotSimulator
package import Memslots

/// A fresh VM for raw calls: the kernel's or the simulator's. Call from one thread at a time.
package protocol RawCallTarget: AnyObject {
    func apply(_ call: RawCall) -> RawReply

    /// Returns how the installed slots differ from `slots`, which have ids and no guest_memfd.
    /// `protection` is the argument of `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2` in force.
    func difference(from slots: [Memslot], protection: UInt64) -> String?
}

extension SimulatedRawVM: RawCallTarget {
    /// It is what others are compared with.
    package func difference(from slots: [Memslot], protection: UInt64) -> String? { nil }

    package func apply(_ call: RawCall) -> RawReply {
        do throws(Errno) {
            switch call {
            case .setRegion(let region): return RawReply(setUserMemoryRegion(region))
            case .getDirtyLog(let slot, let isWritable):
                let log = try kernel.getDirtyLog(
                    of: SlotKey(kernelWord: slot), destinationIsWritable: isWritable)
                return RawReply(nil, dirtyPages: log.runs)
            case .clearDirtyLog(let slot, let firstPage, let pageCount, let words):
                try kernel.clearDirtyLog(
                    of: SlotKey(kernelWord: slot), firstPage: firstPage, pageCount: pageCount,
                    words: words)
            case .setManualDirtyLogProtect(let argument):
                try kernel.setManualDirtyLogProtect(argument)
            case .guestWrite(let address): return write(address)
            }
            return RawReply(nil)
        } catch { return RawReply(error) }
    }

    private func write(_ address: UInt64) -> RawReply {
        WritingGuest.write(to: address, setRegion: setUserMemoryRegion) {
            let isWritten = (try? kernel.touch($0, size: ByteCount(1))) != nil
            return isWritten ? RawReply.written : RawReply.mmio
        }
    }

    /// The installed slots, ascending by key, without their guest_memfd, which is not observable.
    package var slots: [Memslot] {
        kernel.slots.map { Memslot(RawRegion($0, size: $0.size), guestMemfd: nil) }
    }

    /// Whether `region` would be accepted. The slots stay.
    func accepts(_ region: RawRegion) -> Bool {
        // Refused, but it opens the file that it names, so that the state restored below has it.
        var refused = region
        refused.memorySize = 1
        _ = setUserMemoryRegion(refused)
        let before = kernel
        defer { kernel = before }
        return setUserMemoryRegion(region) == nil
    }

    /// Whether a guest's write has one result: there is no slot, or mapped memory without file.
    func isPredictable(writeTo address: UInt64) -> Bool {
        guard address < WritingGuest.addressEnd,
            address / pageSize.rawValue != WritingGuest.codeAddress / pageSize.rawValue
        else { return false }
        let place = GuestPhysicalAddress(address)
        guard let slot = slots.first(where: { $0.contains(place, in: .main) }) else { return true }
        if slot.flags.contains(.guestMemfd) { return false }
        let offset = address - slot.guestPhysicalAddress.rawValue
        return UserWindow.contains(slot.userspaceAddress.rawValue + offset)
    }
}
