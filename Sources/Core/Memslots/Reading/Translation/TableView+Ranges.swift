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

    /// As ``translate(_:for:in:into:)`` with spans, for arrays.
    ///
    /// - Parameter segments: its elements are replaced from the first on; none is added, so that
    ///   nothing is allocated.
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
