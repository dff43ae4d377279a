internal import CReading

/// The lookup index of an array: its slots in the order of their guest physical addresses.
///
/// Records of half a cache line, ascending by address space and address, and for each address space
/// a tree over their starts with 17 ways a node, which `CReading` searches. Built in linear time
/// where the slots stand in order; immutable afterwards.
// Sendable: written only while it is built, by the one that builds it.
final class AddressIndex: @unchecked Sendable {
    /// An address space: its id, and its records without the one that stands before them.
    struct Space {
        let id: UInt32
        let records: Range<Int>
    }

    /// Ascending by id; only those that have slots.
    private(set) var spaces: [Space] = []
    /// One an address space.
    private(set) var trees: UnsafeMutablePointer<SlotTree>
    private var records: UnsafeMutablePointer<SlotRecord>
    private var keys: UnsafeMutablePointer<UInt64>
    private var treeCapacity = 0
    private var recordCapacity = 0
    private var keyCapacity = 0

    /// How this processor searches best.
    private static let search: SlotTree.Search = creading_fastest_search()

    /// Indexes `slots`, which don't overlap.
    ///
    /// - Parameter search: how to search; as this processor does best if left out.
    init(_ slots: [Memslot], search: SlotTree.Search? = nil) {
        trees = Self.allocate(0)
        records = Self.allocate(0)
        keys = Self.allocate(0)
        build(slots, search ?? Self.search)
    }

    deinit {
        // Plain values, allocated here; whoever may read them keeps this.
        trees.deallocate()
        records.deallocate()
        keys.deallocate()
    }

    /// Indexes other slots, in the memory of those that nobody looks at any more.
    func rebuild(_ slots: [Memslot]) { build(slots, Self.search) }

    /// The tree of `space`, where that has slots.
    func tree(of space: UInt32) -> UnsafeMutablePointer<SlotTree>? {
        spaces.firstIndex { $0.id == space }.map { trees + $0 }
    }

    /// The position in the array of the slot of `space` that holds `address`.
    func position(holding address: UInt64, in space: UInt32) -> Int? {
        guard let record = tree(of: space)?.lastStart(atOrBelow: address),
            address &- record.pointee.start < record.pointee.size
        else { return nil }
        return Int(record.pointee.position)
    }

    /// Positions in the array, ascending by address space and address.
    var positions: [Int] {
        spaces.flatMap { $0.records.map { Int(records[$0].position) } }
    }

    /// The records, for a test that makes them unusable.
    var allRecords: UnsafeMutableBufferPointer<SlotRecord> {
        UnsafeMutableBufferPointer(start: records, count: recordCapacity)
    }

    private func build(_ slots: [Memslot], _ search: SlotTree.Search) {
        let order = AddressOrder(slots)
        spaces.removeAll(keepingCapacity: true)
        // A record before those of each address space.
        Self.make(&records, &recordCapacity, room: slots.count + order.spaces.count)
        var next = 0
        for space in order.spaces {
            (records + next).initialize(to: .before)
            let first = next + 1
            order.fill(records + first, with: space.range, of: slots)
            next = first + space.range.count
            spaces.append(Space(id: space.id, records: first..<next))
        }
        Self.make(&trees, &treeCapacity, room: spaces.count)
        let room = spaces.reduce(0) { $0 + TreeShape(keys: $1.records.count).room }
        Self.make(&keys, &keyCapacity, room: room)
        var level = keys
        for (number, space) in spaces.enumerated() {
            let shape = TreeShape(keys: space.records.count)
            let first = records + space.records.lowerBound
            let tree = shape.build(over: first, count: space.records.count, at: level)
            (trees + number).initialize(
                to: SlotTree(tree: tree, search: search, records: first - 1))
            level += shape.room
        }
    }

    /// Memory with room for `count`, that which is there if it is large enough; not kept is what is
    /// in it.
    private static func make<Element>(
        _ pointer: inout UnsafeMutablePointer<Element>, _ capacity: inout Int, room count: Int
    ) {
        guard count > capacity else { return }
        pointer.deallocate()
        (pointer, capacity) = (allocate(count), count)
    }

    private static func allocate<Element>(_ count: Int) -> UnsafeMutablePointer<Element> {
        // At cache lines, as the search needs it; freed by `deallocate`.
        UnsafeMutableRawPointer.allocate(
            byteCount: count * MemoryLayout<Element>.stride, alignment: 64
        ).bindMemory(to: Element.self, capacity: count)
    }
}
