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
