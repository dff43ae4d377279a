import CPreload
import Memslots

/// Applies calls to the VMM's own VM. Unchecked: accessed only with the C part's lock held.
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
        (self.number, self.capabilities) = (number, capabilities)
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
        _ = try valueOfCall(cpreload_set_region(number, &region))
    }

    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        let pageCount = capabilities.pageCount(of: slot)
        if isSilent || hasRing { return DirtyBitmap(pageCount: pageCount) }
        var words = [UInt64](repeating: 0, count: Int((pageCount + 63) / 64))
        let result = words.withUnsafeMutableBytes { buffer in
            // Unsafe: the kernel writes one bit a page of the slot, which the buffer has.
            cpreload_get_dirty_log(number, slot.assignedKey.kernelWord, buffer.baseAddress)
        }
        _ = try valueOfCall(result)
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

/// Dirty bits that a transaction carried to other slots, until the VMM reads or clears them. A
/// dirty log that the VMM reads is the union of the kernel's bits and these.
struct KeptDirtyBits {
    private var bitmaps: [SlotKey: DirtyBitmap] = [:]

    mutating func add(_ bits: DirtyBitmap, to key: SlotKey) {
        guard !bits.isEmpty else { return }
        bitmaps[key, default: DirtyBitmap(pageCount: bits.pageCount)].formUnion(bits)
    }

    /// Removes the bits of slots that the kernel has replaced, with its own.
    mutating func follow(from old: [Memslot], to new: [Memslot]) {
        guard !bitmaps.isEmpty else { return }
        let before = Dictionary(uniqueKeysWithValues: old.map { ($0.assignedKey, $0) })
        let staying = new.filter { slot in
            guard slot.isLogging, let old = before[slot.assignedKey] else { return false }
            return old.isLogging && old.size == slot.size
                && old.userspaceAddress == slot.userspaceAddress
        }
        let keys = Set(staying.map(\.assignedKey))
        bitmaps = bitmaps.filter { keys.contains($0.key) }
    }

    mutating func remove(_ key: SlotKey) -> DirtyBitmap? { bitmaps.removeValue(forKey: key) }

    /// Follows a dirty-log call of the VMM that succeeded; `argument` has its words, in its memory.
    mutating func update(
        after request: UInt64, _ argument: UnsafeRawPointer, clearsByReading: Bool
    ) {
        guard !bitmaps.isEmpty else { return }
        var words = cpreload_dirty_log()
        guard cpreload_decode_dirty_log(&words, UInt(request), argument) == 0 else { return }
        let key = SlotKey(kernelWord: words.slot)
        guard let bitmap = bitmaps[key] else { return }
        if words.clears != 0 {
            clear(words, bitmap, of: key)
        } else {
            let bits = bitmap.words(of: 0..<bitmap.pageCount)
            let result = bits.withUnsafeBytes { buffer in
                // Unsafe: as many words as the kernel has just written there.
                cpreload_set_bits(words.bitmap, buffer.baseAddress, buffer.count)
            }
            if result == 0, clearsByReading { bitmaps[key] = nil }
        }
    }

    private mutating func clear(
        _ words: cpreload_dirty_log, _ bitmap: DirtyBitmap, of key: SlotKey
    ) {
        var bits = [UInt64](repeating: 0, count: Int((words.page_count + 63) / 64))
        let result = bits.withUnsafeMutableBytes { buffer in
            // Unsafe: as many words as the kernel has just read there.
            cpreload_read(buffer.baseAddress, words.bitmap, buffer.count)
        }
        guard result == 0 else { return }
        if words.page_count % 64 != 0, let last = bits.indices.last {
            bits[last] &= (1 << (words.page_count % 64)) - 1
        }
        var rest = bitmap
        rest.remove(bits, from: words.first_page)
        bitmaps[key] = rest.isEmpty ? nil : rest
    }
}
