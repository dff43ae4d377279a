import CYardsticks
import Memslots

/// The same ranges in C, with each index built.
final class YardstickTable {
    private let table: OpaquePointer
    /// What was summed up already, by the number of addresses: checking must cost nothing.
    private var sums: [Int: UInt64] = [:]

    init(_ slots: [Memslot]) throws(BenchmarkError) {
        let starts = slots.map(\.guestPhysicalAddress.rawValue)
        let sizes = slots.map(\.size.rawValue)
        let hosts = slots.map(\.userspaceAddress.rawValue)
        guard let table = ys_table_make(starts, sizes, hosts, slots.count) else {
            throw .broken("no memory for the yardsticks' table")
        }
        self.table = table
    }

    deinit { ys_table_free(table) }

    /// How the yardsticks search, and what they are called.
    static let searches: [(name: String, search: ys_search)] = [
        (vmMemory, YS_POINTER), ("C, branchless binary search", YS_BINARY),
        ("C, 16-way nodes by SIMD", YS_NODES), (lastHit, YS_LAST_HIT),
    ]

    /// The stand-in for vm-memory, which isn't built here.
    static let vmMemory = "C in vm-memory's shape (stand-in)"
    /// What is best in C.
    static let lastHit = "C, last hit, then SIMD nodes"

    /// The sum of what the addresses are translated to.
    func sum(_ search: ys_search, _ addresses: [UInt64], _ order: AddressOrdering) -> UInt64 {
        ys_translate(
            search, table, addresses, addresses.count, order == .known ? YS_KNOWN : YS_CHAINED)
    }

    /// What the first `addresses.count` of a round's addresses must give.
    func expected(_ addresses: [UInt64]) -> UInt64 {
        if let sum = sums[addresses.count] { return sum }
        let sum = sum(YS_BINARY, addresses, .known)
        sums[addresses.count] = sum
        return sum
    }

    /// Translates ranges, given as start and size by turns; how many pieces that makes, or 0.
    func scatter(_ ranges: [UInt64], into segments: inout [ys_segment]) -> Int {
        ys_scatter(table, ranges, ranges.count / 2, &segments, segments.count)
    }
}
