import CPreload
import CRunRecord
import Memslots

/// Applies the calls of a transaction to the VMM's own VM.
///
/// `@unchecked Sendable`: accessed only with the C part's lock held.
final class PreloadBackend: MemslotBackend, @unchecked Sendable {
    let number: UInt32
    let capabilities: Capabilities
    /// Dirty bits that the kernel has dropped and the VMM has not read.
    var kept = KeptDirtyBits()
    /// The VMM reads its rings itself; the kernel has no bitmaps.
    var hasRing = false
    /// While set, dirty logs are not read from the kernel.
    var isSilent = false
    /// While set, calls are not made on the kernel, which has them already.
    var isApplied = false
    private var hasHarvested = false
    /// Our own descriptors of guest_memfds, by their handles. An undo may need one.
    private var files: [Int32: Int32] = [:]

    init(number: UInt32, capabilities: Capabilities) {
        self.number = number
        self.capabilities = capabilities
    }

    deinit { for file in files.values { cpreload_close(file) } }
    func beginTransaction() {}

    /// Does nothing: the VMM reads its rings itself.
    func collectDirtyPages() {}

    func apply(_ call: SlotCall) throws(Errno) {
        guard !isApplied, let slot = call.after ?? call.before else { return }
        var region = crun_region()
        region.slot = slot.assignedKey.kernelWord
        region.guest_phys_addr = slot.guestPhysicalAddress.rawValue
        region.userspace_addr = slot.userspaceAddress.rawValue
        region.guest_memfd = -1
        region.form = 1
        if call.after != nil {
            region.flags = slot.flags.rawValue
            region.memory_size = slot.size.rawValue
        }
        if call.after != nil, let binding = slot.guestMemfd {
            region.form = 2
            region.guest_memfd = files[binding.descriptor] ?? -1
            region.guest_memfd_offset = binding.offset.rawValue
        }
        let result = cpreload_set_region(number, &region)
        if result < 0 { throw Errno(rawValue: -result) }
    }

    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        let pageCount = capabilities.pageCount(of: slot)
        if isSilent || hasRing { return DirtyBitmap(pageCount: pageCount) }
        var words = [UInt64](repeating: 0, count: Int((pageCount + 63) / 64))
        let result = words.withUnsafeMutableBytes { buffer in
            // Unsafe: the kernel writes one bit a page of the slot, which the buffer has.
            cpreload_get_dirty_log(number, slot.assignedKey.kernelWord, buffer.baseAddress)
        }
        if result < 0 { throw Errno(rawValue: -result) }
        var bitmap = DirtyBitmap(pageCount: pageCount, words: words)
        if let earlier = kept.remove(slot.assignedKey) { bitmap.formUnion(earlier) }
        if !bitmap.isEmpty { hasHarvested = true }
        return bitmap
    }

    /// Returns whether dirty bits were read since the last call.
    func resetHarvested() -> Bool {
        defer { hasHarvested = false }
        return hasHarvested
    }

    func open(_ handle: Int32, copying descriptor: Int32) {
        let copy = cpreload_duplicate(descriptor)
        if copy >= 0 { files[handle] = copy }
    }

    func close(_ handle: Int32) {
        if let file = files.removeValue(forKey: handle) { cpreload_close(file) }
    }
}
