/// Which unnamed slots of a request may take over which present slots.
///
/// Those at equal addresses are found by walking both arrays in the order of their addresses;
/// only what is left is looked at by what it is.
struct SlotMatching {
    /// Positions of a requested and of a present slot.
    typealias Pair = (requested: Int, present: Int)

    private let present: [Memslot]
    /// For each requested slot the id that it gets, `nil` for none.
    private var taken: [SlotID?]
    /// The groups in which slots are left to match, each side by ascending address.
    let openGroups: [MatchingGroup]

    init(of slots: [Memslot], to present: MemslotArray) {
        let present = present.slots
        let isNamed = Self.named(slots, present)
        let requests = AscendingOrder.byAddress(
            (0..<UInt32(slots.count)).filter { !slots[Int($0)].hasID }, of: slots)
        let offers = AscendingOrder.byAddress(
            (0..<UInt32(present.count)).filter { !isNamed[Int($0)] }, of: present)

        var taken = [SlotID?](repeating: nil, count: slots.count)
        var left: (requests: [UInt32], offers: [UInt32]) = ([], [])
        var next = 0
        for request in requests {
            let slot = slots[Int(request)]
            while next < offers.count, slot.standsAfter(present[Int(offers[next])]) {
                left.offers.append(offers[next])
                next += 1
            }
            if next < offers.count, slot.standsWithItsKind(present[Int(offers[next])]) {
                taken[Int(request)] = present[Int(offers[next])].id
                next += 1
            } else {
                left.requests.append(request)
            }
        }
        left.offers += offers[next...]

        self.present = present
        self.taken = taken
        openGroups = MatchingGroup.groups(
            left.requests.lazy.map { (position: Int($0), slot: slots[Int($0)]) },
            left.offers.lazy.map { (position: Int($0), slot: present[Int($0)]) })
    }

    /// For each present slot whether a request names it.
    private static func named(_ slots: [Memslot], _ present: [Memslot]) -> [Bool] {
        var isNamed = [Bool](repeating: false, count: present.count)
        guard slots.contains(where: { $0.hasID }) else { return isNamed }
        var next = 0
        for position in AscendingOrder.byKey(slots) {
            let key = slots[Int(position)].assignedKey.ordinal
            while next < present.count, present[next].assignedKey.ordinal < key { next += 1 }
            if next < present.count, present[next].assignedKey.ordinal == key {
                isNamed[next] = true
            }
        }
        return isNamed
    }

    /// The ids taken when each group is matched by ascending address.
    func takingInOrder(_ groups: [MatchingGroup]) -> [SlotID?] {
        taking(pairsInOrder(groups))
    }

    /// The pairs when each group is matched by ascending address.
    func pairsInOrder(_ groups: [MatchingGroup]) -> [Pair] {
        groups.flatMap { Array(zip($0.requested, $0.present)) }
    }

    /// The ids taken when the pairs of requested and present positions are matched.
    func taking(_ pairs: [Pair]) -> [SlotID?] {
        var all = taken
        for pair in pairs { all[pair.requested] = present[pair.present].id }
        return all
    }
}

extension Memslot {
    /// Whether the guest sees this slot after `other`.
    fileprivate func standsAfter(_ other: Memslot) -> Bool {
        (addressSpace, guestPhysicalAddress) > (other.addressSpace, other.guestPhysicalAddress)
    }

    /// Whether `other` is at the same address, and KVM can turn one into the other in place.
    fileprivate func standsWithItsKind(_ other: Memslot) -> Bool {
        guestPhysicalAddress == other.guestPhysicalAddress
            && SlotKind(self) == SlotKind(other)
    }
}
