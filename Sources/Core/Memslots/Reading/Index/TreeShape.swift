internal import CReading

/// Memory for a node of a tree: four cache lines.
struct TreeNode {
    private var bytes: (SIMD64<UInt8>, SIMD64<UInt8>, SIMD64<UInt8>, SIMD64<UInt8>)
}

/// How many nodes each level of a tree has, and how wide their keys are.
struct TreeShape {
    /// What a key is.
    let width: creading_width
    /// From the level of all keys up to the one node.
    private(set) var levels: [Int]
    /// Keys of the one node.
    let topKeys: Int

    /// The shape of a tree over `keys` keys.
    ///
    /// - Parameter last: the largest start.
    init(keys: Int, last: UInt64) {
        // The largest narrow key fills nodes up, and one less stands for all addresses beyond.
        let isNarrow = Self.page(last) < UInt64(Int32.max)
        width = isNarrow ? CREADING_NARROW : CREADING_WIDE
        let room = Self.keys(in: width)
        levels = [max(1, (keys + room - 1) / room)]
        while let nodes = levels.last, nodes > 1, levels.count < Int(CREADING_LEVELS) {
            levels.append((nodes + room) / (room + 1))
        }
        // Each child but the first has a key.
        topKeys = levels.count == 1 ? keys : levels[levels.count - 2] - 1
    }

    private static func page(_ address: UInt64) -> UInt64 { address >> CREADING_PAGE_SHIFT }

    private static func keys(in width: creading_width) -> Int {
        MemoryLayout<TreeNode>.size / (width == CREADING_NARROW ? 4 : 8)
    }

    var nodes: Int { levels.reduce(0, +) }

    /// Builds the tree over the starts of `records`, of as many as the shape is for.
    ///
    /// - Parameter memory: has room for ``nodes`` nodes.
    func build(
        over records: UnsafeMutablePointer<SlotRecord>, count: Int,
        at memory: UnsafeMutablePointer<TreeNode>
    ) -> creading_tree {
        var tree = creading_tree()
        tree.count = UInt64(levels.count)
        var level = memory
        // Keys of level 0 from the first key below one child of this level to that below the next.
        var stride = 1
        withUnsafeMutableBytes(of: &tree.level) { bytes in
            // An array of C, which Swift sees as a tuple of pointers.
            let pointers = bytes.assumingMemoryBound(to: UnsafeRawPointer?.self)
            for (number, nodes) in levels.enumerated() {
                pointers[number] = UnsafeRawPointer(level)
                if width == CREADING_NARROW {
                    fill(level, Int32.self, nodes, number, stride, records, count)
                } else {
                    fill(level, Int64.self, nodes, number, stride, records, count)
                }
                level += nodes
                stride *= Self.keys(in: width) + (number == 0 ? 0 : 1)
            }
        }
        return tree
    }

    private func fill<Key: FixedWidthInteger>(
        _ level: UnsafeMutablePointer<TreeNode>, _: Key.Type, _ nodes: Int, _ number: Int,
        _ stride: Int, _ records: UnsafeMutablePointer<SlotRecord>, _ count: Int
    ) {
        let room = Self.keys(in: width)
        // Allocated as nodes, which have no other use than their keys.
        let keys = UnsafeMutableRawPointer(level).bindMemory(to: Key.self, capacity: nodes * room)
        func key(_ record: Int) -> Key { Key(truncatingIfNeeded: Self.page(records[record].start)) }
        if number == 0 {
            for place in 0..<count { keys[place] = key(place) }
            for place in count..<nodes * room { keys[place] = .max }
            return
        }
        for node in 0..<nodes {
            for place in 0..<room {
                let record = (node * (room + 1) + place + 1) * stride
                keys[node * room + place] = record < count ? key(record) : .max
            }
        }
    }
}
