import CMemslots
import Memslots

/// The spans of guest ranges, in the caller's list as far as they fit.
struct SpanList {
    let reader: OpenReader
    let list: UnsafeMutablePointer<memslots_span>?
    let capacity: Int
    private(set) var count = 0

    init(reader: OpenReader, list: UnsafeMutablePointer<memslots_span>?, capacity: Int) {
        self.reader = reader
        self.list = list
        self.capacity = capacity
    }

    /// Adds the spans of `range`, one for each slot.
    ///
    /// - Throws: ``Problem/notMapped(_:)``; the list's first span then begins at that address.
    mutating func append(_ range: memslots_range, in addressSpace: UInt32) throws(Problem) {
        var (address, left) = (range.guest_physical_address, range.size)
        while left > 0 {
            let found = reader.reader.viewUnscoped().translate(
                GuestPhysicalAddress(address), in: AddressSpaceID(addressSpace))
            guard let found else { throw missing(address) }
            let size = min(left, found.contiguousSize.rawValue)
            append(
                memslots_span(
                    guest_physical_address: address, size: size,
                    address: UnsafeMutableRawPointer(
                        bitPattern: UInt(found.userspaceAddress.rawValue)),
                    slot: found.slot.rawValue, flags: found.flags.rawValue))
            left -= size
            // No slot reaches past 2^64: a range that does ends in an address without one.
            let next = address.addingReportingOverflow(size)
            if next.overflow && left > 0 { throw missing(0) }
            address = next.partialValue
        }
    }

    private mutating func append(_ span: memslots_span) {
        if count < capacity, let list { (list + count).initialize(to: span) }
        count += 1
    }

    private func missing(_ address: UInt64) -> Problem {
        if capacity > 0, let list {
            var span = memslots_span()
            span.guest_physical_address = address
            list.initialize(to: span)
        }
        return .notMapped(GuestPhysicalAddress(address))
    }
}
