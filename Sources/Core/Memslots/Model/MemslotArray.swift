/// A whole, valid memslot array: what a VM has, or what it had.
///
/// Immutable and sorted. Every slot has its id, no two of one address space overlap, and all keep
/// the limits of the backend that it was validated for.
public struct MemslotArray: Sendable, Equatable {
    /// The slots, ascending by address space and id.
    public let slots: [Memslot]
    let index: AddressIndex

    /// The array without slots, with which every table begins.
    public static let empty = MemslotArray(sortedByKey: [])

    /// Wraps slots that are already known to be valid.
    ///
    /// - Parameter index: the index of `slots`, if it is built already.
    /// - Precondition: ascending by key, no id twice, no overlap.
    init(sortedByKey slots: [Memslot], _ index: AddressIndex? = nil) {
        self.slots = slots
        self.index = index ?? AddressIndex(slots)
    }

    /// How many slots there are.
    public var count: Int { slots.count }

    /// Whether there is no slot.
    public var isEmpty: Bool { slots.isEmpty }

    /// The slot named `key`, if there is one. Cost: a binary search.
    public subscript(key: SlotKey) -> Memslot? {
        let index = slots.partitioningIndex { $0.assignedKey >= key }
        guard index < slots.count, slots[index].assignedKey == key else { return nil }
        return slots[index]
    }

    /// The slot that holds `address`, if there is one. Cost: two or three loads that wait for each
    /// other, whatever the number of slots.
    ///
    /// - Parameters:
    ///   - address: any guest physical address.
    ///   - addressSpace: the address space to search.
    public func slot(
        at address: GuestPhysicalAddress, in addressSpace: AddressSpaceID = .main
    ) -> Memslot? {
        index.position(holding: address.rawValue, in: addressSpace.rawValue).map { slots[$0] }
    }

    /// Calls `body` for each piece of a range, in order: the part in a slot, or in none.
    ///
    /// - Parameters:
    ///   - range: any range that does not wrap 2^64.
    ///   - addressSpace: the address space.
    ///   - body: returns whether to go on.
    package func forEachPiece(
        of range: GuestRange, in addressSpace: AddressSpaceID,
        _ body: (Memslot?, GuestRange) -> Bool
    ) {
        guard range.size != .zero else { return }
        var next = range.address.rawValue
        let last = next + (range.size.rawValue - 1)
        func piece(_ slot: Memslot?, to end: UInt64) -> Bool {
            defer { next = end &+ 1 }
            return body(
                slot,
                GuestRange(address: GuestPhysicalAddress(next), size: ByteCount(end - next + 1)))
        }
        // No slot has the last byte of 2^64: its end would wrap.
        let hasStopped = index.contains(
            meeting: next..<last.addingSaturated(1), in: addressSpace.rawValue
        ) { position in
            let slot = slots[Int(position)]
            let start = slot.guestPhysicalAddress.rawValue
            if start > next, !piece(nil, to: start - 1) { return true }
            return !piece(slot, to: min(slot.guestPhysicalEnd.rawValue - 1, last))
        }
        if !hasStopped, next <= last { _ = piece(nil, to: last) }
    }

    /// The slots in the order in which the guest sees them: by address space and address.
    public var slotsByAddress: [Memslot] { index.positions.map { slots[$0] } }

    /// Whether both arrays hold the same slots.
    public static func == (left: MemslotArray, right: MemslotArray) -> Bool {
        left.slots == right.slots
    }
}
