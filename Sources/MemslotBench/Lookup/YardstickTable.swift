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
    static let searches: [(name: String, search: Search)] = [
        (vmMemory, ys_pointer_search), ("C, branchless binary search", ys_binary_search),
        ("C, 16-way nodes by SIMD", ys_node_search), (lastHit, ys_last_hit_search),
    ]

    /// The stand-in for vm-memory, which isn't built here.
    static let vmMemory = "C in vm-memory's shape (stand-in)"
    /// What is best in C.
    static let lastHit = "C, last hit, then SIMD nodes"

    typealias Search = @Sendable (OpaquePointer?, UnsafePointer<UInt64>?, Int, UInt64) -> UInt64

    /// The sum of what the addresses are translated to.
    func sum(_ search: Search, _ addresses: [UInt64]) -> UInt64 {
        search(table, addresses, addresses.count, 0)
    }

    /// What the first `addresses.count` of a round's addresses must give.
    func expected(_ addresses: [UInt64]) -> UInt64 {
        if let sum = sums[addresses.count] { return sum }
        let sum = sum(ys_binary_search, addresses)
        sums[addresses.count] = sum
        return sum
    }
}
