public import Memslots

extension SimulatedKernel {
    /// Marks every page that the range meets dirty, as a guest's write would.
    ///
    /// Pages of slots that don't log are passed over.
    ///
    /// - Parameters:
    ///   - address: the first byte, aligned or not.
    ///   - size: bytes. A size of 0 touches nothing and is no error.
    ///   - addressSpace: the address space in which the guest writes.
    /// - Throws: the first hole or read-only page in the range, by ascending address; nothing is
    ///   marked then.
    public mutating func touch(
        _ address: GuestPhysicalAddress, size: ByteCount, in addressSpace: AddressSpaceID = .main
    ) throws(TouchError) {
        guard size != .zero else { return }
        // Where the sum wraps, the last page of all is asked for, which no slot can hold.
        let last = address.advanced(by: ByteCount(size.rawValue - 1))
        let lastPage = (last ?? GuestPhysicalAddress(.max)).pageNumber
        let pages = address.pageNumber..<lastPage + 1
        let met = addressOrder.entries(meeting: pages, in: addressSpace.rawValue)

        var page = pages.lowerBound
        for entry in met {
            if entry.pages.lowerBound > page { break }
            let key = SlotKey(addressSpace: addressSpace, id: SlotID(entry.id))
            if installed[key]?.slot.flags.contains(.readOnly) == true {
                throw .readOnly(address: Self.start(of: page, notBefore: address), slot: key)
            }
            page = entry.pages.upperBound
        }
        guard page >= pages.upperBound else {
            throw .unmapped(address: Self.start(of: page, notBefore: address))
        }
        for entry in met {
            let part = entry.pages.clamped(to: pages)
            let base = entry.pages.lowerBound
            let key = SlotKey(addressSpace: addressSpace, id: SlotID(entry.id))
            installed[key]?.log?.insert(part.lowerBound - base..<part.upperBound - base)
        }
    }

    private static func start(
        of page: UInt64, notBefore address: GuestPhysicalAddress
    ) -> GuestPhysicalAddress {
        max(GuestPhysicalAddress(page * pageSize.rawValue), address)
    }
}
