/// The ids that an array leaves free, the lowest first.
///
/// Of an address space with n slots the n lowest are enough to look at, so that this costs a byte
/// a slot.
struct FreeSlotIDs {
    private struct Space {
        let id: AddressSpaceID
        var isUsed: [Bool]
        var next = 0
    }

    private var spaces: [Space] = []
    private var places: [AddressSpaceID: Int] = [:]
    /// The place that was asked for last: most arrays have one address space.
    private var last = 0

    /// Those that `slots` leaves free; slots without an id take none.
    init(_ slots: [Memslot]) {
        var counts: [Int] = []
        for slot in slots {
            let place = place(of: slot.addressSpace)
            if place == counts.count { counts.append(0) }
            counts[place] += 1
        }
        for place in counts.indices {
            spaces[place].isUsed = Array(repeating: false, count: counts[place])
        }
        for slot in slots {
            let place = place(of: slot.addressSpace)
            if slot.assignedID.rawValue < counts[place] {
                spaces[place].isUsed[Int(slot.assignedID.rawValue)] = true
            }
        }
    }

    /// The lowest id that is free in `space`; it is not any more then.
    mutating func next(in space: AddressSpaceID) -> SlotID {
        let place = place(of: space)
        var next = spaces[place].next
        while next < spaces[place].isUsed.count, spaces[place].isUsed[next] { next += 1 }
        spaces[place].next = next + 1
        return SlotID(UInt32(next))
    }

    private mutating func place(of space: AddressSpaceID) -> Int {
        if last < spaces.count, spaces[last].id == space { return last }
        last = places[space, default: spaces.count]
        if last == spaces.count {
            places[space] = last
            spaces.append(Space(id: space, isUsed: []))
        }
        return last
    }
}
