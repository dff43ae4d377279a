package import Memslots

/// Four levels of x86-64 page tables that map guest addresses to themselves, in pages of 4 KiB.
///
/// Every entry may be written and used at privilege level 3, and has its accessed and dirty bits
/// set, so that the processor never writes to the tables.
package struct IdentityPageTables {
    /// The tables, the root first.
    package private(set) var bytes: [UInt8]
    private let base: UInt64
    private static let flags: UInt64 = 0x67  // present, writable, user, accessed, dirty

    /// Builds tables that stand at `base`.
    ///
    /// - Parameters:
    ///   - base: a multiple of 4096.
    ///   - ranges: what to map, below 2^47; whole pages.
    package init(at base: GuestPhysicalAddress, mapping ranges: [Range<GuestPhysicalAddress>]) {
        self.base = base.rawValue
        self.bytes = Array(repeating: 0, count: Int(pageSize.rawValue))
        for range in ranges {
            for page in range.lowerBound.pageNumber..<range.upperBound.pageNumber {
                map(page)
            }
        }
    }

    private mutating func map(_ page: UInt64) {
        var table = 0
        for level in [27, 18, 9] as [UInt64] {
            let entry = table + Int(page >> level & 511) * 8
            var next = load(entry) & ~0xfff
            if next == 0 {
                next = base + UInt64(bytes.count)
                bytes.append(contentsOf: repeatElement(0, count: Int(pageSize.rawValue)))
                store(next | Self.flags, entry)
            }
            table = Int(next - base)
        }
        store(page * pageSize.rawValue | Self.flags, table + Int(page & 511) * 8)
    }

    private func load(_ offset: Int) -> UInt64 {
        (0..<8).reduce(0) { $0 | UInt64(bytes[offset + $1]) << (8 * UInt64($1)) }
    }

    private mutating func store(_ value: UInt64, _ offset: Int) {
        for byte in 0..<8 {
            bytes[offset + byte] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(byte)))
        }
    }
}
