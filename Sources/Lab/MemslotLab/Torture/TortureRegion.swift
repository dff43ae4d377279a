import Memslots

/// The guest addresses that are tortured, and the host pages that they always show.
struct TortureRegion: Sendable {
    /// How many pages it has.
    static let pageCount: UInt64 = 16
    /// Where the guest uses it.
    static let start = GuestPhysicalAddress(0x4000_0000)
    /// Where slots go that the guest doesn't use at the time.
    static let aside = GuestPhysicalAddress(0x8000_0000)

    /// Two addresses of the same host pages.
    let mappings: (UserspaceAddress, UserspaceAddress)

    /// The guest address of a page.
    static func address(of page: UInt64) -> GuestPhysicalAddress {
        GuestPhysicalAddress(start.rawValue + page * pageSize.rawValue)
    }

    /// A slot over pages of the region.
    func slot(
        _ id: UInt32, _ pages: Range<UInt64> = 0..<pageCount,
        at place: GuestPhysicalAddress = start, second: Bool = false
    ) -> Memslot {
        let offset = ByteCount.pages(pages.lowerBound)
        let mapping = second ? mappings.1 : mappings.0
        return Memslot(
            id: SlotID(id),
            guestPhysicalAddress: GuestPhysicalAddress(place.rawValue + offset.rawValue),
            size: .pages(UInt64(pages.count)),
            userspaceAddress: UserspaceAddress(mapping.rawValue + offset.rawValue),
            flags: .logDirtyPages,
            memory: MemoryReference(object: MemoryObjectID(rawValue: 1), offset: offset))
    }

    /// The region's pages that `slot` shows to the guest where it uses them.
    static func usedPages(of slot: Memslot) -> Range<UInt64> {
        guard slot.guestPhysicalAddress >= start, slot.guestPhysicalAddress < aside else {
            return 0..<0
        }
        return hostPages(of: slot)
    }

    /// The region's pages that are behind `slot`, wherever it is; none of another's memory.
    static func hostPages(of slot: Memslot) -> Range<UInt64> {
        guard let memory = slot.memory else { return 0..<0 }
        let first = memory.offset.pageCount
        return first..<first + slot.pageCount
    }
}
