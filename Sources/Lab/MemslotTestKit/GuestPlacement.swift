package import Memslots

package struct GuestPlacement: Hashable, Sendable {
    package let region: GuestPhysicalAddress
    package let pageCount: UInt64
    /// Bytes from one such page to the next. With memory in between, page tables map 2 MiB an entry.
    package let stride: UInt64
    /// The first byte of the code, which must not cross a page.
    package var code: GuestPhysicalAddress
    /// A page outside of the region, for the counters.
    package let status = GuestPhysicalAddress(0x2000)
    /// Pages outside of the region for the page tables of a ``GuestKind/long`` guest.
    package let pageTables = GuestPhysicalAddress(0x3000)
    /// A page without memory: a ``GuestKind/long`` guest exits by an access to it.
    package let doorbell = GuestPhysicalAddress(0xfed0_0000)
    /// The page of the tag that a ``GuestAccess/ordered`` guest reads.
    package static let tag = GuestPhysicalAddress(0x5000_0000)

    /// Places code, counters and page tables in one slot of ``lowBytes`` at address 0, or the code
    /// in the middle page of the region, after the numbers.
    package init(
        region: GuestPhysicalAddress, pageCount: UInt64 = 16, stride: UInt64 = 4_096,
        codeInRegion: Bool = false
    ) {
        let middle = region.rawValue + pageCount / 2 * pageSize.rawValue
        (self.region, self.pageCount, self.stride) = (region, pageCount, stride)
        code = GuestPhysicalAddress(codeInRegion ? middle + Self.codeOffset : 0x1000)
    }

    /// The offset of code in a page of the region, after the numbers of 64 vCPUs.
    package static let codeOffset: UInt64 = 0x800

    /// The size of the slot at address 0.
    package static let lowBytes = ByteCount(rawValue: 0x10000)
}

/// Four levels of x86-64 page tables that map guest addresses to themselves, in pages of 4 KiB or 2
/// MiB. Every entry is writable, usable at privilege level 3, and has its accessed and dirty bits
/// set, so that the processor never writes to the tables.
package struct IdentityPageTables {
    /// The tables' entries, the root's first.
    private var entries = [UInt64](repeating: 0, count: 512)
    private let base: UInt64
    private static let flags: UInt64 = 0x67  // present, writable, user, accessed, dirty

    /// Builds tables at a multiple of 4096 for whole pages below 2^47; `large` in pages of 2 MiB.
    package init(
        at base: GuestPhysicalAddress, mapping ranges: [Range<GuestPhysicalAddress>],
        large: [Range<GuestPhysicalAddress>] = []
    ) {
        self.base = base.rawValue
        for (range, isLarge) in ranges.map({ ($0, false) }) + large.map({ ($0, true) }) {
            for page in range.lowerBound.pageNumber..<range.upperBound.pageNumber {
                map(page, isLarge: isLarge)
            }
        }
    }

    package var bytes: [UInt8] {
        entries.flatMap { entry in (0..<8).map { UInt8(truncatingIfNeeded: entry >> (8 * $0)) } }
    }

    private mutating func map(_ page: UInt64, isLarge: Bool) {
        var table = 0
        for level in ([27, 18, 9] as [UInt64]).prefix(isLarge ? 2 : 3) {
            let entry = table + Int(page >> level & 511)
            if entries[entry] == 0 {
                entries[entry] = base + UInt64(entries.count) * 8 | Self.flags
                entries += repeatElement(0, count: 512)
            }
            table = Int((entries[entry] & ~0xfff) - base) / 8
        }
        let (first, large): (UInt64, UInt64) = isLarge ? (page & ~511, 0x80) : (page, 0)
        let entry = table + Int((isLarge ? page >> 9 : page) & 511)
        entries[entry] = first * pageSize.rawValue | Self.flags | large
    }
}
