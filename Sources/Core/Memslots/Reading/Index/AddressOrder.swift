/// The order of slots by address space and address.
struct AddressOrder {
    /// An address space, and which of the ordered slots are its.
    struct Space {
        let id: UInt32
        let range: Range<Int>
    }

    /// Ascending by id; only those that have slots.
    private(set) var spaces: [Space] = []
    /// `nil` where the slots stand in order.
    private let positions: [UInt32]?

    /// Orders `slots`; linear where they stand in order already.
    init(_ slots: [Memslot]) {
        var last = (space: UInt32.max, start: UInt64.max)
        var first = 0
        var isInOrder = true
        for (position, slot) in slots.enumerated() {
            let (space, start) = (slot.addressSpace.rawValue, slot.guestPhysicalAddress.rawValue)
            if position == 0 || space != last.space {
                // Arrays are sorted by key, so that an address space stands in one piece.
                if position > 0 { spaces.append(Space(id: last.space, range: first..<position)) }
                first = position
            } else if start < last.start {
                isInOrder = false
            }
            last = (space, start)
        }
        if !slots.isEmpty { spaces.append(Space(id: last.space, range: first..<slots.count)) }
        positions = isInOrder ? nil : AscendingOrder.byAddress(slots)
    }

    /// Writes the records of the ordered slots of `range`.
    func fill(
        _ records: UnsafeMutablePointer<SlotRecord>, with range: Range<Int>, of slots: [Memslot]
    ) {
        for (offset, place) in range.enumerated() {
            let position = positions.map { $0[place] } ?? UInt32(truncatingIfNeeded: place)
            (records + offset).initialize(to: SlotRecord(slots[Int(position)], position: position))
        }
    }
}
