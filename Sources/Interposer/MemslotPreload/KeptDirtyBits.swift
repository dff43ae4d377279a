import CPreload
import Memslots

/// Dirty bits that a transaction carried to other slots, until the VMM reads or clears them.
///
/// A dirty log that the VMM reads is the union of the kernel's bits and these.
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

    /// Follows a `KVM_GET_DIRTY_LOG` or `KVM_CLEAR_DIRTY_LOG` of the VMM that succeeded. `argument`
    /// has its words, in the VMM's memory.
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
