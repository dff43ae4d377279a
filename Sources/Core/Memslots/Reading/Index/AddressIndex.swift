public import CReading

/// The lookup index of an array: its slots in the order of their guest physical addresses.
///
/// Records of half a cache line, ascending by address space and address, and for each address space
/// a tree over their starts, which `CReading` searches. Built in linear time where the slots stand in
/// order; immutable afterwards.
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
    private var nodes: UnsafeMutablePointer<TreeNode>
    private var treeCapacity = 0
    private var recordCapacity = 0
    private var nodeCapacity = 0

    /// Indexes `slots`, which don't overlap.
    ///
    /// - Parameter search: how to search; as this processor does best if left out.
    init(_ slots: [Memslot], search: (TreeShape) -> SlotTree.Search = AddressIndex.fastestSearch) {
        trees = Self.allocate(0)
        records = Self.allocate(0)
        nodes = Self.allocate(0)
        rebuild(slots, search)
    }

    deinit {
        // Plain values, allocated here; every reader of them keeps this alive.
        trees.deallocate()
        records.deallocate()
        nodes.deallocate()
    }

    /// Returns the fastest search function of this processor for a tree of this shape.
    static func fastestSearch(_ shape: TreeShape) -> SlotTree.Search {
        creading_fastest_search(shape.width, UInt64(shape.levels.count), UInt64(shape.topKeys))
    }

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

    /// Whether a slot of `space` has an address of `range`, and its position in the array is as
    /// wanted.
    func contains(
        meeting range: Range<UInt64>, in space: UInt32, where isWanted: (UInt32) -> Bool
    ) -> Bool {
        guard let number = spaces.firstIndex(where: { $0.id == space }) else { return false }
        var record = (trees + number).lastStart(atOrBelow: range.lowerBound)
        let end = records + spaces[number].records.upperBound
        while record < end, record.pointee.start < range.upperBound {
            // The first record may end below the range, or be the sentinel, which contains no address.
            let meets = range.lowerBound < record.pointee.start + record.pointee.size
            if meets, isWanted(record.pointee.position) { return true }
            record += 1
        }
        return false
    }

    /// Positions in the array, ascending by address space and address.
    var positions: [Int] { spaces.flatMap { $0.records.map { Int(records[$0].position) } } }

    /// The records, for a test that makes them unusable.
    var allRecords: UnsafeMutableBufferPointer<SlotRecord> {
        UnsafeMutableBufferPointer(start: records, count: recordCapacity)
    }

    /// Indexes other slots, in the memory of an index that nothing reads any more.
    func rebuild(
        _ slots: [Memslot], _ search: (TreeShape) -> SlotTree.Search = AddressIndex.fastestSearch
    ) {
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
        let shapes = spaces.map { space in
            TreeShape(keys: space.records.count, last: records[space.records.upperBound - 1].start)
        }
        Self.make(&nodes, &nodeCapacity, room: shapes.reduce(0) { $0 + $1.nodes })
        var node = nodes
        for (number, (space, shape)) in zip(spaces, shapes).enumerated() {
            let first = records + space.records.lowerBound
            let tree = shape.build(over: first, count: space.records.count, at: node)
            (trees + number).initialize(
                to: SlotTree(tree: tree, search: search(shape), records: first - 1))
            node += shape.nodes
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

/// What a lookup needs of a slot, in half a cache line.
@usableFromInline
struct SlotRecord: Sendable {
    @usableFromInline var start: UInt64
    /// Bytes; 0 in a record that stands for no slot.
    @usableFromInline var size: UInt64
    /// The userspace address of `start`.
    @usableFromInline var userspaceAddress: UInt64
    /// The slot's id in its address space.
    @usableFromInline var id: UInt32
    /// The slot's position in the array, above the three bits of its flags.
    @usableFromInline var positionAndFlags: UInt32

    init(_ slot: Memslot, position: UInt32) {
        start = slot.guestPhysicalAddress.rawValue
        size = slot.size.rawValue
        userspaceAddress = slot.userspaceAddress.rawValue
        id = slot.assignedID.rawValue
        positionAndFlags = position << 3 | slot.flags.rawValue & 7
    }

    /// A record that no address is in.
    private init() { (start, size, userspaceAddress, id, positionAndFlags) = (0, 0, 0, 0, 0) }

    /// Stands before all slots of an address space.
    static let before = SlotRecord()

    @inlinable var position: UInt32 { positionAndFlags >> 3 }
    @inlinable var flags: MemslotFlags { MemslotFlags(rawValue: positionAndFlags & 7) }
}

/// The index of one address space, as a lookup uses it.
@usableFromInline
struct SlotTree {
    @usableFromInline typealias Search =
        @convention(c) (UnsafePointer<creading_tree>?, UInt64) -> UInt64

    @usableFromInline var tree: creading_tree
    @usableFromInline let search: Search
    /// The records; the first of them stands before all slots.
    @usableFromInline let records: UnsafeMutablePointer<SlotRecord>
}

extension UnsafeMutablePointer<SlotTree> {
    /// The record of the last slot that starts at or below `address`.
    @inlinable
    @inline(__always)
    func lastStart(atOrBelow address: UInt64) -> UnsafeMutablePointer<SlotRecord> {
        // The tree is the first member: its address is the structure's.
        let tree = UnsafeRawPointer(self).assumingMemoryBound(to: creading_tree.self)
        return pointee.records + Int(truncatingIfNeeded: pointee.search(tree, address))
    }
}
