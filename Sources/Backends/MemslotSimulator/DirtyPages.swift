public import Memslots

extension SimulatedKernel {
    /// Returns the dirty log of the slot `key`, and clears it with
    /// ``DirtyLogProtection/automatic``.
    ///
    /// Kernel: `KVM_GET_DIRTY_LOG`, Documentation/virt/kvm/api.rst 4.8.
    ///
    /// - Parameters:
    ///   - key: the slot.
    ///   - destinationIsWritable: whether the bitmap can be written to the caller's memory. If not,
    ///     the call fails with `EFAULT`, and bits that it clears are lost.
    /// - Throws: `EINVAL` for an id or address space out of range, then `ENOENT` for a slot that
    ///   is not installed or does not log, then `EFAULT`.
    package mutating func getDirtyLog(
        of key: SlotKey, destinationIsWritable: Bool = true
    ) throws(Errno) -> DirtyBitmap {
        guard hasRoom(for: key) else { throw .invalidArgument }
        guard let log = logs[key] else { throw .noEntry }
        if dirtyLogProtection == .automatic { removeDirtyPages(of: key) }
        guard destinationIsWritable else { throw .badAddress }
        return log
    }

    /// Marks pages of the slot `key` clean.
    ///
    /// Kernel: `KVM_CLEAR_DIRTY_LOG`, api.rst 4.117; it works with every protection.
    ///
    /// - Parameters:
    ///   - key: the slot.
    ///   - firstPage: the page of the first bit, a multiple of 64.
    ///   - pageCount: the number of pages: a multiple of 64, or up to the slot's end.
    ///   - words: 64 bits each; set bits are cleared in the log. `nil` or too few words stand for
    ///     memory that cannot be read.
    /// - Throws: `EINVAL` for an id or address space out of range or a misaligned `firstPage`,
    ///   then `ENOENT`, then `EINVAL` for the range, then `EFAULT`. Nothing is cleared then.
    package mutating func clearDirtyLog(
        of key: SlotKey, firstPage: UInt64, pageCount: UInt32, words: [UInt64]?
    ) throws(Errno) {
        guard hasRoom(for: key), firstPage % 64 == 0 else { throw .invalidArgument }
        guard let log = logs[key] else { throw .noEntry }
        guard firstPage <= log.pageCount else { throw .invalidArgument }
        let rest = log.pageCount - firstPage
        guard pageCount <= rest, pageCount % 64 == 0 || UInt64(pageCount) == rest else {
            throw .invalidArgument
        }
        let wordCount = Int((UInt64(pageCount) + 63) / 64)
        // For no pages the kernel reads no memory.
        guard let words = wordCount == 0 ? [] : words, words.count >= wordCount else {
            throw .badAddress
        }
        logs[key]?.remove(words.prefix(wordCount), from: firstPage)
    }

    /// Sets how dirty bits are cleared.
    ///
    /// Kernel: `KVM_ENABLE_CAP` of `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2`, api.rst 7.18.
    ///
    /// - Parameter argument: the capability's first argument: 0, 1 or 3.
    /// - Throws: `EINVAL` for any other.
    package mutating func setManualDirtyLogProtect(_ argument: UInt64) throws(Errno) {
        guard let protection = DirtyLogProtection(rawValue: argument) else {
            throw .invalidArgument
        }
        dirtyLogProtection = protection
    }

    mutating func removeDirtyPages(of key: SlotKey) {
        guard let pageCount = logs[key]?.pageCount else { return }
        logs[key] = DirtyBitmap(pageCount: pageCount)
    }

    private func hasRoom(for key: SlotKey) -> Bool {
        key.id.rawValue < capabilities.maxSlots
            && key.addressSpace.rawValue < capabilities.addressSpaces
    }

    /// Marks every page of a range dirty; see ``SimulatedBackend/touch(_:size:in:)``.
    package mutating func touch(
        _ address: GuestPhysicalAddress, size: ByteCount, in addressSpace: AddressSpaceID = .main
    ) throws(TouchError) {
        guard size != .zero else { return }
        // If the sum wraps, the range extends to the last page, which no slot can contain.
        let last = address.advanced(by: ByteCount(size.rawValue - 1))
        let lastPage = (last ?? GuestPhysicalAddress(.max)).pages(of: capabilities.pageSize)
        let pages = address.pages(of: capabilities.pageSize)..<lastPage + 1
        let met = addressOrder.entries(meeting: pages, in: addressSpace.rawValue)

        var page = pages.lowerBound
        for entry in met {
            if entry.pages.lowerBound > page { break }
            let key = SlotKey(addressSpace: addressSpace, id: SlotID(entry.id))
            if installed[key]?.flags.contains(.readOnly) == true {
                throw .readOnly(address: start(of: page, notBefore: address), slot: key)
            }
            page = entry.pages.upperBound
        }
        guard page >= pages.upperBound else {
            throw .unmapped(address: start(of: page, notBefore: address))
        }
        for entry in met {
            let part = entry.pages.clamped(to: pages)
            let base = entry.pages.lowerBound
            let key = SlotKey(addressSpace: addressSpace, id: SlotID(entry.id))
            logs[key]?.insert(part.lowerBound - base..<part.upperBound - base)
        }
    }

    private func start(
        of page: UInt64, notBefore address: GuestPhysicalAddress
    ) -> GuestPhysicalAddress {
        max(GuestPhysicalAddress(page * capabilities.pageSize.rawValue), address)
    }
}

/// Why a guest's write did not reach memory.
public enum TouchError: Error, Hashable, Sendable, CustomStringConvertible {
    /// No slot contains `address`, the first such address of the write. A range that wraps 2^64 has
    /// one, and so has every range of an address space that the VM does not have.
    case unmapped(address: GuestPhysicalAddress)
    /// `address` is the first byte of the write in the read-only slot `slot`.
    case readOnly(address: GuestPhysicalAddress, slot: SlotKey)

    /// The kind string of the wire protocol.
    public var kind: String {
        switch self {
        case .unmapped: "unmapped"
        case .readOnly: "read-only"
        }
    }

    /// The message.
    public var description: String { message }

    /// What is wrong.
    public var message: String {
        switch self {
        case .unmapped(let address): "no slot contains the address \(address)"
        case .readOnly(let address, let slot):
            "slot \(slot), which contains \(address), is read-only"
        }
    }
}
