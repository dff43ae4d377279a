package import Memslots

/// Where a guest program and its data are in the guest's memory.
package struct GuestPlacement: Hashable, Sendable {
    /// The first page of the region that the guest writes to.
    package var region: GuestPhysicalAddress
    /// How many pages the region has.
    package var pageCount: UInt64
    /// Where the code begins; at least ``GuestProgram/maxCodeBytes`` before the end of its page.
    package var code: GuestPhysicalAddress
    /// A page outside of the region, for the counters.
    package var status: GuestPhysicalAddress
    /// Pages outside of the region for the page tables of a ``GuestKind/long`` guest.
    package var pageTables: GuestPhysicalAddress
    /// A page where no slot is, for a ``GuestKind/long`` guest to ring at.
    package var doorbell: GuestPhysicalAddress

    /// Puts a guest's parts where they are told to be.
    package init(
        region: GuestPhysicalAddress, pageCount: UInt64 = 16, code: GuestPhysicalAddress,
        status: GuestPhysicalAddress, pageTables: GuestPhysicalAddress,
        doorbell: GuestPhysicalAddress = GuestPhysicalAddress(0xfed0_0000)
    ) {
        self.region = region
        self.pageCount = pageCount
        self.code = code
        self.status = status
        self.pageTables = pageTables
        self.doorbell = doorbell
    }

    /// The usual one: code, counters and page tables in one slot of ``lowBytes`` at address 0,
    /// the region where the caller has it.
    ///
    /// - Parameters:
    ///   - region: the first page of the region.
    ///   - pageCount: its pages.
    ///   - codeInRegion: puts the code behind the words in the middle page of the region.
    package init(
        region: GuestPhysicalAddress, pageCount: UInt64 = 16, codeInRegion: Bool = false
    ) {
        let middle = region.rawValue + pageCount / 2 * pageSize.rawValue
        self.init(
            region: region, pageCount: pageCount,
            code: GuestPhysicalAddress(codeInRegion ? middle + Self.codeOffset : 0x1000),
            status: GuestPhysicalAddress(0x2000), pageTables: GuestPhysicalAddress(0x3000))
    }

    /// Where in a page of the region code can stand without meeting the words of 64 vCPUs.
    package static let codeOffset: UInt64 = 0x800

    /// Bytes of the slot at address 0 in the usual placement.
    package static let lowBytes = ByteCount(rawValue: 0x10000)
}
