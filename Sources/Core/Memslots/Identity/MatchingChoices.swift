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
