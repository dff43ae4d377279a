import CYardsticks
import MemslotTestKit
import Memslots

/// Translates many ranges at a time, as a virtio device does with a chain of descriptors.
enum ScatterBenchmarks {
    /// Ranges of a list; each is translated to one segment.
    private static let count = 256
    private static let project = "TableView.translate of a scatter list"
    private static let yardstick = "C: the same, last hit, then SIMD nodes"

    static let step = BenchmarkStep(name: "scatter lists") { effort in
        try effort(BenchmarkArray.sizes, quick: [512]).map { try measure($0, effort) }
    }

    private static func measure(_ size: Int, _ effort: Effort) throws -> BenchmarkRow {
        let slots = BenchmarkArray.slots(size)
        let ranges = ranges(in: slots)
        let words = ranges.flatMap { [$0.address.rawValue, $0.size.rawValue] }
        let table = try LookupBenchmarks.opened(slots)
        let yardsticks = try YardstickTable(slots)
        let repeats = effort(64, quick: 4)
        var segments = [HostSegment](repeating: .none, count: 2 * count)
        var pieces = [ys_segment](repeating: ys_segment(), count: 2 * count)
        let contest = try Contest(
            rounds: effort(31, quick: 3),
            Contestant(project, operations: repeats * count) {
                let reader = table.makeReader(as: "benchmark")
                for _ in 0..<repeats {
                    let used = reader.read { view in
                        try? view.translate(ranges, for: .read, into: &segments)
                    }
                    try require((used ?? 0) >= count, "a range of the benchmark has no memory")
                }
            },
            Contestant(yardstick, operations: repeats * count) {
                for _ in 0..<repeats where yardsticks.scatter(words, into: &pieces) < count {
                    throw BenchmarkError.broken("C can't translate the benchmark's own ranges")
                }
            })
        let isSame = zip(segments, pieces).allSatisfy {
            $0.userspaceAddress.rawValue == $1.host && $0.size.rawValue == $1.size
        }
        try require(isSame, "the project and C find different segments")
        return contest.row(project, as: "\(project), a range", slots: size, against: yardstick)
    }

    private static func ranges(in slots: [Memslot]) -> [GuestRange] {
        var random = SeededRandom(seed: 5)
        return (0..<count).map { _ in
            let slot = slots[Int.random(in: slots.indices, using: &random)]
            let size = UInt64.random(in: 1...2_048, using: &random)
            let place = random.next() % (slot.size.rawValue - size)
            return GuestRange(
                address: GuestPhysicalAddress(slot.guestPhysicalAddress.rawValue + place),
                size: ByteCount(size))
        }
    }
}

/// The slots in C, with the indexes of all searches.
final class YardstickTable {
    private let table: OpaquePointer
    /// Expected sums by the number of addresses, so that checking costs nothing.
    private var sums: [Int: UInt64] = [:]

    init(_ slots: [Memslot]) throws {
        let starts = slots.map(\.guestPhysicalAddress.rawValue)
        let sizes = slots.map(\.size.rawValue)
        let hosts = slots.map(\.userspaceAddress.rawValue)
        guard let table = ys_table_make(starts, sizes, hosts, slots.count) else {
            throw BenchmarkError.broken("no memory for the yardsticks' table")
        }
        self.table = table
    }

    deinit { ys_table_free(table) }

    /// The yardsticks' searches by name.
    static let searches: [(name: String, search: ys_search)] = [
        (radix, YS_RADIX), (lastHit, YS_LAST_HIT),
    ]

    /// The fastest walk in C, whose table grows with the pages and not with the slots.
    static let radix = "C, radix of three levels"
    /// The fastest search in C.
    static let lastHit = "C, last hit, then SIMD nodes"

    func sum(_ search: ys_search, _ addresses: [UInt64], _ order: AddressOrdering) -> UInt64 {
        ys_translate(search, table, addresses, addresses.count, order == .chained)
    }

    /// The sum that the first `addresses.count` addresses of a round must give.
    func expected(_ addresses: [UInt64]) -> UInt64 {
        if let sum = sums[addresses.count] { return sum }
        let sum = sum(YS_RADIX, addresses, .known)
        sums[addresses.count] = sum
        return sum
    }

    /// Translates ranges, given as start, size, start, size…; returns the number of segments, or 0.
    func scatter(_ ranges: [UInt64], into segments: inout [ys_segment]) -> Int {
        ys_scatter(table, ranges, ranges.count / 2, &segments, segments.count)
    }
}
