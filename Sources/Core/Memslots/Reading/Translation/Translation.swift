/// What is behind a guest physical address. Valid until the read that returned it ends.
public struct Translation: Hashable, Sendable {
    /// The userspace address of the byte.
    public let userspaceAddress: UserspaceAddress
    /// The bytes from there to the slot's end, 1 at least.
    public let contiguousSize: ByteCount
    /// The slot's id in its address space.
    public let slot: SlotID
    @usableFromInline let positionAndFlags: UInt32

    @inlinable
    @inline(__always)
    init(_ record: UnsafePointer<SlotRecord>, offset: UInt64) {
        userspaceAddress = UserspaceAddress(
            rawValue: record.pointee.userspaceAddress &+ offset)
        contiguousSize = ByteCount(rawValue: record.pointee.size &- offset)
        slot = SlotID(rawValue: record.pointee.id)
        positionAndFlags = record.pointee.positionAndFlags
    }

    /// The slot's flags.
    @inlinable public var flags: MemslotFlags { MemslotFlags(rawValue: positionAndFlags & 7) }

    /// Whether the guest may write here; where not, a write of the guest exits.
    @inlinable public var isWritable: Bool { !flags.contains(.readOnly) }
}

/// The way in which guest memory is going to be accessed.
public enum MemoryAccess: Hashable, Sendable {
    /// A read.
    case read
    /// A write; refused in slots that are read-only for the guest.
    case write
}

/// A range of guest physical addresses, whatever is there.
public struct GuestRange: Hashable, Sendable {
    /// The first address.
    public var address: GuestPhysicalAddress
    /// Bytes; may be 0.
    public var size: ByteCount

    /// A range of `size` bytes; it need not be possible.
    @inlinable
    public init(address: GuestPhysicalAddress, size: ByteCount) {
        (self.address, self.size) = (address, size)
    }
}

/// A piece of a guest range that is one piece in user memory too.
public struct HostSegment: Hashable, Sendable {
    /// The userspace address of its first byte.
    public var userspaceAddress: UserspaceAddress
    /// Bytes; not 0.
    public var size: ByteCount

    /// A piece of user memory.
    @inlinable
    public init(userspaceAddress: UserspaceAddress, size: ByteCount) {
        (self.userspaceAddress, self.size) = (userspaceAddress, size)
    }

    /// No memory, to fill a buffer with.
    @inlinable public static var none: HostSegment {
        HostSegment(userspaceAddress: UserspaceAddress(rawValue: 0), size: ByteCount(rawValue: 0))
    }

    /// The memory itself; `nil` at address 0, as in ``none``. Whether an address is mapped in this
    /// process is not checked.
    @inlinable public var memory: UnsafeMutableRawBufferPointer? {
        guard
            let start = UnsafeMutableRawPointer(
                bitPattern: UInt(truncatingIfNeeded: userspaceAddress.rawValue)),
            let count = Int(exactly: size.rawValue)
        else { return nil }
        return UnsafeMutableRawBufferPointer(start: start, count: count)
    }
}

/// Why a range can't be translated; of several ranges, the first that can't.
public enum TranslationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// No slot holds this address, the first of the range that none holds.
    case unmapped(GuestPhysicalAddress, range: Int)
    /// The slot that holds this address is read-only for the guest.
    case readOnly(GuestPhysicalAddress, range: Int)
    /// The range wraps 2^64.
    case overflow(range: Int)
    /// There are more pieces than the buffer has room for; those before this range fit.
    case bufferFull(range: Int)

    /// A sentence that says what and where.
    public var message: String {
        switch self {
        case .unmapped(let address, let range): "range \(range): no slot holds \(address)"
        case .readOnly(let address, let range): "range \(range): \(address) is read-only"
        case .overflow(let range): "range \(range) wraps 2^64"
        case .bufferFull(let range): "range \(range): the buffer has no room for all its pieces"
        }
    }

    /// The message.
    public var description: String { message }
}

extension TableView {
    /// Translates a whole range, which may span slots, to pieces of user memory.
    ///
    /// - Parameters:
    ///   - range: any range; one without bytes has no pieces, wherever it is.
    ///   - access: with `.write`, read-only slots are refused.
    ///   - addressSpace: 0 by default.
    ///   - segments: gets the pieces, in order, from its beginning.
    /// - Returns: how many pieces there are.
    /// - Throws: ``TranslationError`` with the first address that is not as wanted; what is in
    ///   `segments` then means nothing.
    public borrowing func translate(
        _ range: GuestRange, for access: MemoryAccess,
        in addressSpace: AddressSpaceID = .main, into segments: inout MutableSpan<HostSegment>
    ) throws(TranslationError) -> Int {
        var used = 0
        try translate(range, number: 0, access, addressSpace, &segments, &used)
        return used
    }

    /// Translates many ranges, such as a virtio descriptor chain, to pieces of user memory.
    ///
    /// - Parameters:
    ///   - ranges: any ranges.
    ///   - access: with `.write`, read-only slots are refused.
    ///   - addressSpace: 0 by default.
    ///   - segments: gets the pieces of all ranges, in order, from its beginning.
    /// - Returns: how many pieces there are.
    /// - Throws: ``TranslationError`` of the first range that is not as wanted, with its number;
    ///   what is in `segments` then means nothing.
    public borrowing func translate(
        _ ranges: Span<GuestRange>, for access: MemoryAccess,
        in addressSpace: AddressSpaceID = .main, into segments: inout MutableSpan<HostSegment>
    ) throws(TranslationError) -> Int {
        var used = 0
        for number in ranges.indices {
            try translate(ranges[number], number: number, access, addressSpace, &segments, &used)
        }
        return used
    }

    /// Translates arrays of ranges, as ``translate(_:for:in:into:)`` translates spans.
    ///
    /// The elements of `segments` are replaced from the first on. None is added, so that nothing is
    /// allocated.
    public borrowing func translate(
        _ ranges: [GuestRange], for access: MemoryAccess,
        in addressSpace: AddressSpaceID = .main, into segments: inout [HostSegment]
    ) throws(TranslationError) -> Int {
        var span = segments.mutableSpan
        return try translate(ranges.span, for: access, in: addressSpace, into: &span)
    }

    private borrowing func translate(
        _ range: GuestRange, number: Int, _ access: MemoryAccess, _ addressSpace: AddressSpaceID,
        _ segments: inout MutableSpan<HostSegment>, _ used: inout Int
    ) throws(TranslationError) {
        var (address, left) = (range.address.rawValue, range.size.rawValue)
        guard left > 0 else { return }
        if address.addingReportingOverflow(left - 1).overflow { throw .overflow(range: number) }
        while true {
            let place = GuestPhysicalAddress(rawValue: address)
            guard let found = translate(place, in: addressSpace) else {
                throw .unmapped(place, range: number)
            }
            if access == .write, !found.isWritable { throw .readOnly(place, range: number) }
            guard used < segments.count else { throw .bufferFull(range: number) }
            let size = min(left, found.contiguousSize.rawValue)
            segments[used] = HostSegment(
                userspaceAddress: found.userspaceAddress, size: ByteCount(rawValue: size))
            used += 1
            left -= size
            if left == 0 { return }
            // Within the range, which doesn't wrap.
            address += size
        }
    }
}
