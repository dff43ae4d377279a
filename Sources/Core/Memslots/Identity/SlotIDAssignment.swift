/// Picks the ids that a submitted array leaves out.
///
/// Ids that are named are taken. An unnamed slot then takes over a present slot that KVM can turn
/// into it in place: one at an equal address first, the rest so that the fewest calls result.
/// What is left gets the lowest ids that are free in the new array, in request order.
struct SlotIDAssignment {
    /// The array with an id for each slot, in request order.
    let slots: [Memslot]
    /// Whether any id was picked.
    let hasPicked: Bool
    /// Whether no other choice of ids is known to need fewer calls.
    let isOptimal: Bool

    /// How many slots may be looked at while choices are tried: some tenths of a second.
    private static let effort = 400_000

    /// How many times as long the planner's search takes for a slot as a choice does.
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
        let first = Self.completed(slots, matching.takingInOrder(groups))
        guard groups.contains(where: \.hasChoice) else {
            (self.slots, isOptimal) = (first, true)
            return
        }
        var left = Self.effort
        let firstCost = Self.cost(first, present, &left)
        // Without circles among the moves every choice costs the same.
        guard firstCost.circles > 0 else {
            (self.slots, isOptimal) = (first, true)
            return
        }

        // What has one candidate only is no choice.
        let fixed = matching.pairsInOrder(groups.filter { !$0.hasChoice })
        let open = groups.filter(\.hasChoice)
        var search = SlotIDSearch(
            slots, present, matching, fixed, left: left, best: first, firstCost)
        search.tryAll(open)
        if !search.isProved { search.tryEach(open, beginningAt: firstCost.operations) }
        (self.slots, isOptimal) = (search.best, search.isProved)
    }

    /// `slots` with the ids that are `taken`, and the lowest free ones where there is none.
    static func completed(_ slots: [Memslot], _ taken: [SlotID?]) -> [Memslot] {
        var slots = slots
        var isComplete = true
        for index in slots.indices where !slots[index].hasID {
            slots[index].id = taken[index]
            isComplete = isComplete && taken[index] != nil
        }
        if isComplete { return slots }
        var free = FreeSlotIDs(slots)
        for index in slots.indices where !slots[index].hasID {
            slots[index].id = free.next(in: slots[index].addressSpace)
        }
        return slots
    }

    /// What `slots` costs; takes off `left` what it took to find that out.
    static func cost(
        _ slots: [Memslot], _ present: MemslotArray, _ left: inout Int
    ) -> (operations: Int, circles: Int, isProved: Bool) {
        let allowed = min(FeedbackVertexSet.effort, left / searchWeight)
        var effort = allowed
        let diff = MemslotDiff(from: present.slots, to: slots.sortedByKey())
        let plan = Plan(diff, effort: &effort)
        left -= slots.count + present.count + (allowed - effort) * searchWeight
        let circles = plan.operations.count { $0.reason == .cycle }
        return (plan.operations.count, circles, plan.isOptimal)
    }
}
