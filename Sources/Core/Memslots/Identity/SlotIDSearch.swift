/// The search for the choice of ids that costs the fewest calls.
struct SlotIDSearch {
    private let slots: [Memslot]
    private let present: MemslotArray
    private let matching: SlotMatching
    private let fixed: [SlotMatching.Pair]
    private var left: Int
    private(set) var best: [Memslot]
    private var cost: (operations: Int, circles: Int, isProved: Bool)
    private var isExhausted = false
    private var allProved: Bool

    /// With more slots to match than this in one group, ascending addresses stay.
    private static let largestTried = 256

    init(
        _ slots: [Memslot], _ present: MemslotArray, _ matching: SlotMatching,
        _ fixed: [SlotMatching.Pair], left: Int, best: [Memslot],
        _ cost: (operations: Int, circles: Int, isProved: Bool)
    ) {
        self.slots = slots
        self.present = present
        self.matching = matching
        self.fixed = fixed
        self.left = left
        self.best = best
        self.cost = cost
        allProved = cost.isProved
    }

    /// Whether no other choice can cost less.
    var isProved: Bool { cost.circles == 0 || isExhausted && allProved }

    /// Tries every choice of all groups together, beginning with ascending addresses; as long as
    /// half of the effort is left.
    mutating func tryAll(_ groups: [MatchingGroup]) {
        guard groups.allSatisfy({ $0.requested.count <= Self.largestTried }) else { return }
        let reserve = left / 2
        var choices = MatchingChoices(groups)
        while left > reserve, cost.circles > 0 {
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
            while left > 0, cost.circles > 0, let choice = choices.next() {
                var trial = pairs
                trial[index] = choice
                let price = weigh(trial.flatMap { $0 })
                if price < lowest { (pairs, lowest) = (trial, price) }
            }
        }
    }

    /// What a choice costs; it is kept if it is the best so far.
    private mutating func weigh(_ choice: [SlotMatching.Pair]) -> Int {
        let candidate = SlotIDAssignment.completed(slots, matching.taking(fixed + choice))
        let price = SlotIDAssignment.cost(candidate, present, &left)
        allProved = allProved && price.isProved
        if price.operations < cost.operations { (best, cost) = (candidate, price) }
        return price.operations
    }
}
