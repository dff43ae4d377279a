public import CReading

/// The index of one address space, as a lookup uses it.
@usableFromInline
struct SlotTree {
    @usableFromInline typealias Search =
        @convention(c) (UnsafePointer<creading_tree>?, UInt64) -> UInt64

    @usableFromInline var tree: creading_tree
    @usableFromInline let search: Search
    /// The records; the first of them stands before all slots.
    @usableFromInline let records: UnsafeMutablePointer<SlotRecord>

    init(
        tree: creading_tree, search: @escaping Search, records: UnsafeMutablePointer<SlotRecord>
    ) {
        (self.tree, self.search, self.records) = (tree, search, records)
    }
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

/// How many nodes each level of a tree has.
struct TreeShape {
    /// From the level of all keys up to the one node.
    private(set) var levels: [Int]

    private static let keys = Int(CREADING_KEYS)

    /// The shape of a tree over `keys` keys.
    init(keys: Int) {
        levels = [max(1, (keys + Self.keys - 1) / Self.keys)]
        while let nodes = levels.last, nodes > 1, levels.count < Int(CREADING_LEVELS) {
            levels.append((nodes + Self.keys) / (Self.keys + 1))
        }
    }

    /// Keys of all nodes.
    var room: Int { levels.reduce(0, +) * Self.keys }

    /// Builds the tree over the starts of `records`, of as many as the shape is for.
    ///
    /// - Parameter memory: has room for ``room`` keys.
    func build(
        over records: UnsafeMutablePointer<SlotRecord>, count: Int,
        at memory: UnsafeMutablePointer<UInt64>
    ) -> creading_tree {
        var tree = creading_tree()
        tree.count = UInt64(levels.count)
        var level = memory
        // Keys of level 0 from the first key below one child of this level to that below the next.
        var stride = 1
        withUnsafeMutableBytes(of: &tree.level) { bytes in
            // An array of C, which Swift sees as a tuple of pointers.
            let pointers = bytes.assumingMemoryBound(to: UnsafePointer<UInt64>?.self)
            for (number, nodes) in levels.enumerated() {
                pointers[number] = UnsafePointer(level)
                fill(level, nodes: nodes, number: number, stride, records, count)
                level += nodes * Self.keys
                stride *= number == 0 ? Self.keys : Self.keys + 1
            }
        }
        return tree
    }

    private func fill(
        _ level: UnsafeMutablePointer<UInt64>, nodes: Int, number: Int, _ stride: Int,
        _ records: UnsafeMutablePointer<SlotRecord>, _ count: Int
    ) {
        if number == 0 {
            for key in 0..<count { level[key] = records[key].start }
            for key in count..<nodes * Self.keys { level[key] = .max }
            return
        }
        for node in 0..<nodes {
            for key in 0..<Self.keys {
                let record = (node * (Self.keys + 1) + key + 1) * stride
                level[node * Self.keys + key] = record < count ? records[record].start : .max
            }
        }
    }
}
