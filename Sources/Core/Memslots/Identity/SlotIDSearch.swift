/// The search for the choice of ids that costs the fewest calls.
struct SlotIDSearch {
    let slots: [Memslot]
    let present: MemslotArray
    let matching: SlotMatching
    let fixed: [SlotMatching.Pair]
    var left: Int
    private(set) var best: [Memslot]
    var cost: (operations: Int, cycles: Int, isProved: Bool)
    var allProved: Bool
    var isExhausted = false

    /// With more slots to match than this in one group, ascending addresses stay.
    private static let largestTried = 256

    /// Whether no other choice can cost less.
    var isProved: Bool { cost.cycles == 0 || isExhausted && allProved }

    /// Tries every choice of all groups together, beginning with ascending addresses; as long as
    /// half of the effort is left.
    mutating func tryAll(_ groups: [MatchingGroup]) {
        guard groups.allSatisfy({ $0.requested.count <= Self.largestTried }) else { return }
        let reserve = left / 2
        var choices = MatchingChoices(groups)
        while left > reserve, cost.cycles > 0 {
            guard let choice = choices.next() else {
                isExhausted = true
                return
            }
            _ = weigh(choice)
        }
    }

    /// Tries every choice of one group while the others stay, group after group: enough where
    /// groups have nothing to do with each other, which many haven't.
    ///
    /// - Parameter operations: what ascending addresses cost.
    mutating func tryEach(_ groups: [MatchingGroup], beginningAt operations: Int) {
        var pairs = groups.map { matching.pairsInOrder([$0]) }
        var lowest = operations
        for index in groups.indices where groups[index].requested.count <= Self.largestTried {
            var choices = MatchingChoices([groups[index]])
            while left > 0, cost.cycles > 0, let choice = choices.next() {
                var trial = pairs
                trial[index] = choice
                let price = weigh(trial.flatMap { $0 })
                if price < lowest { (pairs, lowest) = (trial, price) }
            }
        }
    }

    /// What a choice costs; it is kept if it is the best so far.
    private mutating func weigh(_ choice: [SlotMatching.Pair]) -> Int {
        let candidate = SlotIDAssignment.completed(slots, matching.ids(matching: fixed + choice))
        let price = SlotIDAssignment.cost(candidate, present, &left)
        allProved = allProved && price.isProved
        if price.operations < cost.operations { (best, cost) = (candidate, price) }
        return price.operations
    }
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

    /// Returns the choice after `last` for the next step: the free present slots, ascending, then no
    /// slot if the group has too few. `nil` if no choice is left.
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
