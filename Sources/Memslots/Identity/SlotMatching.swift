/// Which unnamed slots of a request may take over which present slots.
struct SlotMatching {
    /// Positions of a requested and of a present slot.
    typealias Pair = (requested: Int, present: Int)

    private let slots: [Memslot]
    private let present: [Memslot]
    /// Positions of unnamed requested slots, and of present slots that no request names.
    private var members: [Kind: (requested: [Int], present: [Int])] = [:]
    private var taken: [Int: SlotID] = [:]

    /// All that KVM can't change in place.
    private struct Kind: Hashable {
        let slot: Memslot

        init(_ slot: Memslot) {
            var slot = slot
            slot.id = .unassigned
            slot.guestPhysicalAddress = GuestPhysicalAddress(0)
            slot.flags.remove(.logDirtyPages)
            self.slot = slot
        }
    }

    init(of slots: [Memslot], to present: MemslotArray) {
        self.slots = slots
        self.present = present.slots
        let named = Set(slots.lazy.filter { $0.id != .unassigned }.map(\.key))
        for (index, slot) in slots.enumerated() where slot.id == .unassigned {
            members[Kind(slot), default: ([], [])].requested.append(index)
        }
        for (index, slot) in self.present.enumerated() where !named.contains(slot.key) {
            members[Kind(slot)]?.present.append(index)
        }
    }

    /// Matches slots that stay where they are.
    mutating func matchEqualAddresses() {
        for (kind, group) in members where !group.present.isEmpty {
            let byAddress = Dictionary(
                group.present.map { (present[$0].guestPhysicalAddress, $0) },
                uniquingKeysWith: { first, _ in first })
            var matched: (requested: Set<Int>, present: Set<Int>) = ([], [])
            for index in group.requested {
                guard let match = byAddress[slots[index].guestPhysicalAddress] else { continue }
                taken[index] = present[match].id
                matched.requested.insert(index)
                matched.present.insert(match)
            }
            let rest = (
                requested: group.requested.filter { !matched.requested.contains($0) },
                present: group.present.filter { !matched.present.contains($0) }
            )
            members[kind] = rest
        }
    }

    /// The groups in which slots are left to match, each side by ascending address.
    func openGroups() -> [MatchingGroup] {
        members.values.filter { !$0.requested.isEmpty && !$0.present.isEmpty }
            .map { group in
                MatchingGroup(
                    requested: group.requested.sorted { isBefore(slots, $0, $1) },
                    present: group.present.sorted { isBefore(present, $0, $1) })
            }
            .sorted { $0.requested[0] < $1.requested[0] }
    }

    /// The ids taken when each group is matched by ascending address.
    func takingInOrder(_ groups: [MatchingGroup]) -> [Int: SlotID] {
        taking(pairsInOrder(groups))
    }

    /// The pairs when each group is matched by ascending address.
    func pairsInOrder(_ groups: [MatchingGroup]) -> [Pair] {
        groups.flatMap { Array(zip($0.requested, $0.present)) }
    }

    /// The ids taken when the pairs of requested and present positions are matched.
    func taking(_ pairs: [Pair]) -> [Int: SlotID] {
        var all = taken
        for pair in pairs { all[pair.requested] = present[pair.present].id }
        return all
    }

    private func isBefore(_ slots: [Memslot], _ left: Int, _ right: Int) -> Bool {
        let (a, b) = (slots[left], slots[right])
        return (a.guestPhysicalAddress, a.id) < (b.guestPhysicalAddress, b.id)
    }
}

/// Requested and present slots of one kind that can be matched in any way.
struct MatchingGroup {
    let requested: [Int]
    let present: [Int]

    /// Whether there is more than one way to match as many as possible.
    var hasChoice: Bool { requested.count > 1 || present.count > 1 }
}

/// Every way to match as many slots as possible in each group, one after the other, beginning with
/// ascending addresses.
struct MatchingChoices {
    private let groups: [MatchingGroup]
    /// For each requested slot in turn, the position in its group's present slots, or `nil`.
    private var path: [Int?] = []
    private let order: [(group: Int, requested: Int)]
    private var isFresh = true

    init(_ groups: [MatchingGroup]) {
        self.groups = groups
        order = groups.indices.flatMap { group in
            groups[group].requested.map { (group: group, requested: $0) }
        }
    }

    /// The next way, as pairs of requested and present positions; `nil` when all have been given.
    mutating func next() -> [(requested: Int, present: Int)]? {
        if isFresh {
            isFresh = false
            guard extend() else { return nil }
        } else {
            guard advance() else { return nil }
        }
        return zip(order, path).compactMap { step, choice in
            choice.map { (step.requested, groups[step.group].present[$0]) }
        }
    }

    /// Goes to the next choice of the last step that has one, and completes the path from there.
    private mutating func advance() -> Bool {
        while let last = path.popLast() {
            if let next = choice(after: last) {
                path.append(next)
                if extend() { return true }
            }
        }
        return false
    }

    private mutating func extend() -> Bool {
        while path.count < order.count {
            guard let first = choice(after: .some(-1)) else { return false }
            path.append(first)
        }
        return true
    }

    /// The choice that follows `last` for the step at the end of the path: the present slots that
    /// are free, ascending, then none at all where there are too few. `nil` when there is no more.
    private func choice(after last: Int?) -> Int?? {
        guard let last else { return nil }
        let step = order[path.count]
        let group = groups[step.group]
        let used = usedChoices(of: step.group)
        var candidate = last + 1
        while candidate < group.present.count {
            if !used.taken.contains(candidate) { return .some(candidate) }
            candidate += 1
        }
        let mayStayOut = group.requested.count - group.present.count
        return used.left < mayStayOut ? .some(nil) : nil
    }

    private func usedChoices(of group: Int) -> (taken: Set<Int>, left: Int) {
        var used = (taken: Set<Int>(), left: 0)
        for (step, choice) in zip(order, path) where step.group == group {
            if let choice { used.taken.insert(choice) } else { used.left += 1 }
        }
        return used
    }
}
