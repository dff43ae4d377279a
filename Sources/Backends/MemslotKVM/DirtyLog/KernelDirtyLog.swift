import CKVM
import Memslots

/// The dirty bitmaps of the kernel. Kernel: `KVM_GET_DIRTY_LOG`, `KVM_CLEAR_DIRTY_LOG`.
struct KernelDirtyLog {
    let vm: Int32
    let mode: DirtyLogMode
    var pageSize = ByteCount.page

    /// Reads the log of `slot`. With `clear` it clears exactly the pages that it returns.
    func read(_ slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        // Zeroed, so that every page of the buffer is present when the kernel writes it.
        let pageCount = slot.size.pages(of: pageSize)
        var words = [UInt64](repeating: 0, count: Int((pageCount + 63) / 64))
        let failure = words.withUnsafeMutableBytes { buffer in
            // Unsafe: the kernel writes one bit a page of the slot, which the buffer has.
            get(slot, into: buffer.baseAddress)
        }
        if let failure {
            guard losesBits(failure) else { throw failure }
            return .full(pageCount: pageCount)
        }
        let bitmap = DirtyBitmap(pageCount: pageCount, words: words)
        if clear, mode != .clearedByReading, !bitmap.isEmpty { try self.clear(bitmap, of: slot) }
        return bitmap
    }

    /// Makes the call. Returns the errno, or `nil` if it succeeded.
    func get(_ slot: Memslot, into buffer: UnsafeMutableRawPointer?) -> Errno? {
        failure(of: ckvm_get_dirty_log(vm, slot.assignedKey.kernelWord, buffer))
    }

    /// Whether the call may have cleared the log before it failed: if reading clears, the kernel
    /// clears before it copies.
    func losesBits(_ failure: Errno) -> Bool { mode == .clearedByReading && failure == .badAddress }

    private func clear(_ bitmap: DirtyBitmap, of slot: Memslot) throws(Errno) {
        guard let pages = UInt32(exactly: bitmap.pageCount) else { throw .invalidArgument }
        var words = bitmap.words(of: 0..<bitmap.pageCount)
        let result = words.withUnsafeMutableBytes { buffer in
            // Unsafe: the kernel reads one bit a page of the slot, which the buffer has.
            ckvm_clear_dirty_log(vm, slot.assignedKey.kernelWord, 0, pages, buffer.baseAddress)
        }
        _ = try valueOfCall(result)
    }
}

extension DirtyBitmap {
    static func full(pageCount: UInt64) -> DirtyBitmap {
        let words = [UInt64](repeating: ~0, count: Int((pageCount + 63) / 64))
        return DirtyBitmap(pageCount: pageCount, words: words)
    }
}
