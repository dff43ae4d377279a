import Memslots

/// Searches for a way from one array to another in so many operations, of all that the kernel
/// allows: deletes, creates, moves to any page or aside, and reflags, in any order. Depth first. A
/// branch ends if the rest would not suffice even without conflicts, which cuts no valid way. Only
/// slots of the two arrays are created: any other could only be in the way.
struct FewestOperations {
    private let target, origin: [Memslot?]
    private let pages: UInt64

    init(from old: SmallKernel, to new: SmallKernel, pages: UInt64) {
        origin = old.slots
        target = new.slots
        self.pages = pages
    }

    /// The operations that are needed if no slot is in the way of another: no way is shorter.
    var lowerBound: Int { zip(origin, target).reduce(0) { $0 + Self.cost($1.0, $1.1) } }

    /// Whether there is a way of at most `limit` operations.
    func exists(within limit: Int) -> Bool { search(origin, limit) }

    private static func cost(_ from: Memslot?, _ to: Memslot?) -> Int {
        guard let from, let to else { return from == nil && to == nil ? 0 : 1 }
        if from == to { return 0 }
        let isKept =
            from.size == to.size && from.userspaceAddress == to.userspaceAddress
            && from.flags.subtracting(.logDirtyPages) == to.flags.subtracting(.logDirtyPages)
        return isKept ? 1 : 2
    }

    private func search(_ state: [Memslot?], _ left: Int) -> Bool {
        let needed = zip(state, target).reduce(0) { $0 + Self.cost($1.0, $1.1) }
        if needed == 0 { return true }
        guard needed <= left else { return false }
        for id in state.indices {
            for next in successors(of: state[id], id) {
                let cost = needed - Self.cost(state[id], target[id]) + Self.cost(next, target[id])
                guard cost <= left - 1, next.map({ fits($0, id, state) }) ?? true else { continue }
                var state = state
                state[id] = next
                if search(state, left - 1) { return true }
            }
        }
        return false
    }

    /// The results of one operation on a slot.
    private func successors(of slot: Memslot?, _ id: Int) -> [Memslot?] {
        guard let slot else {
            return [origin[id], target[id]].compactMap { $0 }.flatMap { places(of: $0) }
        }
        return [nil] + places(of: slot).filter { $0 != slot }.map { $0 }
    }

    /// The slot at every page and once far aside, logging or not.
    private func places(of slot: Memslot) -> [Memslot] {
        let count = slot.size.rawValue >> 12
        guard count <= pages else { return [] }
        let parking = 1_000 + UInt64(slot.assignedID.rawValue) * 100
        return (Array(0...pages - count) + [parking]).flatMap { page in
            [false, true].map { slot.logging($0).moved(to: GuestPhysicalAddress(page << 12)) }
        }
    }

    private func fits(_ slot: Memslot, _ id: Int, _ state: [Memslot?]) -> Bool {
        let pages = SmallKernel.pages(of: slot)
        return state.enumerated().allSatisfy { other, present in
            other == id || present.map { !SmallKernel.pages(of: $0).overlaps(pages) } ?? true
        }
    }
}
