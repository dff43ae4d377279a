/// The lookup index of an array: its slots in the order of their guest physical addresses.
///
/// Starts are kept in one plain array of integers beside the positions, so that a search touches
/// nothing else.
struct AddressOrder: Sendable {
    /// Positions of the slots, ascending by address space and address.
    let positions: [UInt32]
    private let starts: [UInt64]
    private let spaces: [Space]

    private struct Space: Sendable {
        let id: AddressSpaceID
        let range: Range<Int>
    }

    /// Sorts `slots`; linear where they already stand in order.
    init(_ slots: [Memslot]) {
        func isBefore(_ left: Memslot, _ right: Memslot) -> Bool {
            (left.addressSpace, left.guestPhysicalAddress)
                < (right.addressSpace, right.guestPhysicalAddress)
        }
        var positions = Array(0..<UInt32(slots.count))
        let inOrder = zip(slots, slots.dropFirst()).allSatisfy { isBefore($0, $1) }
        if !inOrder { positions.sort { isBefore(slots[Int($0)], slots[Int($1)]) } }

        var spaces: [Space] = []
        var first = 0
        for index in positions.indices {
            let space = slots[Int(positions[index])].addressSpace
            let isLast = index + 1 == positions.count
            if isLast || slots[Int(positions[index + 1])].addressSpace != space {
                spaces.append(Space(id: space, range: first..<index + 1))
                first = index + 1
            }
        }
        self.starts = positions.map { slots[Int($0)].guestPhysicalAddress.rawValue }
        self.positions = positions
        self.spaces = spaces
    }

    /// The position of the slot of `space` that starts at `address` or is the last before it.
    func lastStart(atOrBelow address: GuestPhysicalAddress, in space: AddressSpaceID) -> Int? {
        guard let range = spaces.first(where: { $0.id == space })?.range else { return nil }
        let after = starts[range].partitioningIndex { $0 > address.rawValue }
        return after == range.lowerBound ? nil : Int(positions[after - 1])
    }
}

extension RandomAccessCollection {
    /// The first index whose element is `past`, in a collection where all after it are too.
    @inlinable
    package func partitioningIndex(where past: (Element) -> Bool) -> Index {
        var low = startIndex
        var count = self.count
        while count > 0 {
            let half = count / 2
            let middle = index(low, offsetBy: half)
            if past(self[middle]) {
                count = half
            } else {
                low = index(after: middle)
                count -= half + 1
            }
        }
        return low
    }
}
