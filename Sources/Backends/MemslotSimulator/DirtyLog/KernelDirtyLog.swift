public import Memslots

extension SimulatedKernel {
    /// Answers the dirty log of the slot `key`, and clears it under
    /// ``DirtyLogProtection/automatic``.
    ///
    /// Kernel: `KVM_GET_DIRTY_LOG`, Documentation/virt/kvm/api.rst 4.8.
    ///
    /// - Parameters:
    ///   - key: the slot.
    ///   - destinationIsWritable: whether the caller's memory takes the bitmap. Where it
    ///     doesn't, the answer is `EFAULT`, and bits that were to be cleared are lost.
    /// - Throws: `EINVAL` for an id or address space out of range, then `ENOENT` for a slot that
    ///   isn't there or doesn't log, then `EFAULT`.
    public mutating func getDirtyLog(
        of key: SlotKey, destinationIsWritable: Bool = true
    ) throws(Errno) -> DirtyBitmap {
        guard hasRoom(for: key) else { throw .invalidArgument }
        guard let log = installed[key]?.log else { throw .noEntry }
        if dirtyLogProtection == .automatic { removeDirtyPages(of: key) }
        guard destinationIsWritable else { throw .badAddress }
        return log
    }

    /// Marks pages of the slot `key` clean.
    ///
    /// Kernel: `KVM_CLEAR_DIRTY_LOG`, api.rst 4.117; it works under every protection.
    ///
    /// - Parameters:
    ///   - key: the slot.
    ///   - firstPage: the page of the first bit, a multiple of 64.
    ///   - pageCount: how many pages; a multiple of 64, or up to the slot's end.
    ///   - words: 64 bits a word, those that are set are cleared in the log. `nil`, or too few,
    ///     stands for memory that can't be read.
    /// - Throws: `EINVAL` for an id or address space out of range or a misaligned `firstPage`,
    ///   then `ENOENT`, then `EINVAL` for the range, then `EFAULT`. Nothing is cleared then.
    public mutating func clearDirtyLog(
        of key: SlotKey, firstPage: UInt64, pageCount: UInt32, words: [UInt64]?
    ) throws(Errno) {
        guard hasRoom(for: key), firstPage % 64 == 0 else { throw .invalidArgument }
        guard let log = installed[key]?.log else { throw .noEntry }
        guard firstPage <= log.pageCount else { throw .invalidArgument }
        let rest = log.pageCount - firstPage
        guard pageCount <= rest, pageCount % 64 == 0 || UInt64(pageCount) == rest else {
            throw .invalidArgument
        }
        let wordCount = Int((UInt64(pageCount) + 63) / 64)
        // Of no pages nothing is read, so that any memory will do.
        guard let words = wordCount == 0 ? [] : words, words.count >= wordCount else {
            throw .badAddress
        }
        installed[key]?.log?.remove(words.prefix(wordCount), from: firstPage)
    }

    /// Sets who clears dirty bits, from now on.
    ///
    /// Kernel: `KVM_ENABLE_CAP` of `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2`, api.rst 7.18.
    ///
    /// - Parameter argument: the capability's first argument: 0, 1 or 3.
    /// - Throws: `EINVAL` for any other.
    public mutating func setManualDirtyLogProtect(_ argument: UInt64) throws(Errno) {
        guard let protection = DirtyLogProtection(rawValue: argument) else {
            throw .invalidArgument
        }
        dirtyLogProtection = protection
    }

    /// Marks every page of the slot `key` clean, as clearing all that a reading answered does.
    mutating func removeDirtyPages(of key: SlotKey) {
        guard let pageCount = installed[key]?.log?.pageCount else { return }
        installed[key]?.log = DirtyBitmap(pageCount: pageCount)
    }

    private func hasRoom(for key: SlotKey) -> Bool {
        key.id.rawValue < capabilities.maxSlots
            && key.addressSpace.rawValue < capabilities.addressSpaces
    }
}
