/// Picks the ids that a submitted array leaves out.
///
/// Named ids are kept. An unnamed slot then gets the id of a present slot that KVM can turn into it
/// in place: one at an equal address first, the rest so that the fewest calls result.
/// The rest get the lowest ids that are free in the new array, in request order.
struct SlotIDAssignment {
    /// The array with an id for each slot, in request order.
    let slots: [Memslot]
    let hasPicked: Bool
    /// Whether no other choice of ids is known to need fewer calls.
    let isOptimal: Bool

    /// The number of slots that may be read while choices are tried: some tenths of a second.
    private static let effort = 400_000

    /// The ratio of the times that the planner's search and a choice need for a slot.
    private static let searchWeight = 8

    /// Picks ids for `slots`, whose named ids are unique and in range.
    init(for slots: [Memslot], present: MemslotArray) {
        guard slots.contains(where: { !$0.hasID }) else {
            (self.slots, hasPicked, isOptimal) = (slots, false, true)
            return
        }
        hasPicked = true
        let matching = SlotMatching(of: slots, to: present)
        let groups = matching.openGroups
        let first = Self.completed(slots, matching.ids(matching: matching.pairsInOrder(groups)))
        guard groups.contains(where: \.hasChoice) else {
            (self.slots, isOptimal) = (first, true)
            return
        }
        var left = Self.effort
        let firstCost = Self.cost(first, present, &left)
        // Without cycles among the moves every choice costs the same.
        guard firstCost.cycles > 0 else {
            (self.slots, isOptimal) = (first, true)
            return
        }

        // A slot with one candidate has no choice.
        let fixed = matching.pairsInOrder(groups.filter { !$0.hasChoice })
        let open = groups.filter(\.hasChoice)
        var search = SlotIDSearch(
            slots: slots, present: present, matching: matching, fixed: fixed, left: left,
            best: first, cost: firstCost, allProved: firstCost.isProved)
        search.tryAll(open)
        if !search.isProved { search.tryEach(open, beginningAt: firstCost.operations) }
        (self.slots, isOptimal) = (search.best, search.isProved)
    }

    /// `slots` with the ids `picked`, and the lowest free ones for the rest.
    static func completed(_ slots: [Memslot], _ picked: [SlotID?]) -> [Memslot] {
        var slots = slots
        var isComplete = true
        for index in slots.indices where !slots[index].hasID {
            slots[index].id = picked[index]
            isComplete = isComplete && picked[index] != nil
        }
        if isComplete { return slots }
        var free = FreeSlotIDs(slots)
        for index in slots.indices where !slots[index].hasID {
            slots[index].id = free.next(in: slots[index].addressSpace)
        }
        return slots
    }

    /// Returns the cost of `slots`; subtracts from `left` the effort of finding it.
    static func cost(
        _ slots: [Memslot], _ present: MemslotArray, _ left: inout Int
    ) -> (operations: Int, cycles: Int, isProved: Bool) {
        let allowed = min(FeedbackVertexSet.effort, left / searchWeight)
        var effort = allowed
        let diff = MemslotDiff(from: present.slots, to: slots.sortedByKey())
        let plan = Plan(diff, effort: &effort)
        left -= slots.count + present.count + (allowed - effort) * searchWeight
        let cycles = plan.operations.count { $0.reason == .cycle }
        return (plan.operations.count, cycles, plan.isOptimal)
    }
}

/// The ids that an array leaves free, the lowest first.
///
/// Of an address space with n slots the n lowest are enough, so that this costs a byte
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

    /// The ids that `slots` leaves free; slots without an id use none.
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
