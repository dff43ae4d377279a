internal import CKVM
package import MemslotKVM
package import MemslotScenario
package import Memslots

package final class KernelTarget: RawCallTarget {
    private let raw: KVMRawVM
    private var guest: GuestWriter?
    /// Pages of the installed slots: the size of their bitmaps.
    private var pageCounts: [UInt32: UInt64] = [:]

    package init(system: KVMSystem) throws(KVMError) { raw = try KVMRawVM(system: system) }

    /// The limits of such a VM on this host.
    package static func capabilities(of system: KVMSystem) throws(KVMError) -> Capabilities {
        // Without KVM's own pages, which this VM does not use.
        try KVMBackend(
            adopting: system.makeVirtualMachine(), installed: [],
            options: KVMOptions(reservedRanges: [])
        ).capabilities
    }

    package func apply(_ call: RawCall) -> RawReply {
        switch call {
        case .setRegion(let region): return RawReply(set(region))
        case .getDirtyLog(let slot, let isWritable): return read(slot, isWritable)
        case .clearDirtyLog(let slot, let firstPage, let pageCount, let words):
            return clear(slot, firstPage, pageCount, words)
        case .setManualDirtyLogProtect(let argument):
            let capability = UInt32(KVMCapability.manualDirtyLogProtect2.rawValue)
            return reply(ckvm_enable_cap(raw.vm.descriptor, capability, argument))
        case .guestWrite(let address): return write(address)
        }
    }

    /// Compares `slots` with KVM's by calls that change nothing.
    package func difference(from slots: [Memslot], protection: UInt64) -> String? {
        let modes: [UInt64: DirtyLogMode] = [1: .manual, 3: .manualInitiallySet]
        do throws(KVMError) {
            _ = try KVMBackend(
                adopting: raw.vm, installed: slots,
                options: KVMOptions(
                    dirtyLog: modes[protection] ?? .clearedByReading, reservedRanges: []))
            return nil
        } catch { return error.description }
    }

    private func set(_ region: RawRegion) -> Errno? {
        let errno = raw.setUserMemoryRegion(region)
        if errno == nil {
            pageCounts[region.slot] =
                region.memorySize == 0 ? nil : region.memorySize / pageSize.rawValue
        }
        return errno
    }

    private func read(_ slot: UInt32, _ isWritable: Bool) -> RawReply {
        let pageCount = pageCounts[slot] ?? 0
        var words = [UInt64](repeating: 0, count: Int((pageCount + 63) / 64) + 1)
        let result = words.withUnsafeMutableBytes { buffer in
            // Unsafe: the kernel writes one bit a page of the slot, for which the buffer has room.
            ckvm_get_dirty_log(
                raw.vm.descriptor, slot, isWritable ? buffer.baseAddress : Self.badAddress)
        }
        guard result == 0 else { return reply(result) }
        words.removeLast()
        return RawReply(nil, dirtyPages: DirtyBitmap(pageCount: pageCount, words: words).runs)
    }

    private func clear(
        _ slot: UInt32, _ firstPage: UInt64, _ pageCount: UInt32, _ words: [UInt64]?
    ) -> RawReply {
        var words = words ?? []
        let isEnough = UInt64(words.count) >= (UInt64(pageCount) + 63) / 64
        let result = words.withUnsafeMutableBytes { buffer in
            // Unsafe: the kernel reads one bit a page, which the buffer has.
            ckvm_clear_dirty_log(
                raw.vm.descriptor, slot, firstPage, pageCount,
                isEnough ? buffer.baseAddress : Self.badAddress)
        }
        return reply(result)
    }

    private func write(_ address: UInt64) -> RawReply {
        WritingGuest.write(to: address, setRegion: raw.setUserMemoryRegion) {
            if guest == nil { guest = GuestWriter(of: raw.vm) }
            return guest?.write(to: $0) ?? "no vCPU"
        }
    }

    private func reply(_ result: Int32) -> RawReply {
        RawReply(result < 0 ? Errno(rawValue: -result) : nil)
    }

    /// An address in the first page, which no process maps.
    // Unsafe: only the kernel follows it, and returns EFAULT.
    private static var badAddress: UnsafeMutableRawPointer? {
        UnsafeMutableRawPointer(bitPattern: 8)
    }
}
