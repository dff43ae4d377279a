/// Which unnamed slots of a request can get the ids of which present slots.
///
/// Slots at equal addresses are found by walking both arrays in the order of their addresses; only
/// the rest are compared by kind.
struct SlotMatching {
    /// Positions of a requested and of a present slot.
    typealias Pair = (requested: Int, present: Int)

    private let present: [Memslot]
    /// For each requested slot the id that it gets, `nil` for none.
    private var picked: [SlotID?]
    /// The groups in which slots are left to match, each side by ascending address.
    let openGroups: [MatchingGroup]

    init(of slots: [Memslot], to present: MemslotArray) {
        let present = present.slots
        let isNamed = Self.named(slots, present)
        let requests = AscendingOrder.byAddress(
            (0..<UInt32(slots.count)).filter { !slots[Int($0)].hasID }, of: slots)
        let offers = AscendingOrder.byAddress(
            (0..<UInt32(present.count)).filter { !isNamed[Int($0)] }, of: present)

        var picked = [SlotID?](repeating: nil, count: slots.count)
        var left: (requests: [UInt32], offers: [UInt32]) = ([], [])
        var next = 0
        for request in requests {
            let slot = slots[Int(request)]
            while next < offers.count, slot.standsAfter(present[Int(offers[next])]) {
                left.offers.append(offers[next])
                next += 1
            }
            if next < offers.count, slot.standsWithItsKind(present[Int(offers[next])]) {
                picked[Int(request)] = present[Int(offers[next])].id
                next += 1
            } else {
                left.requests.append(request)
            }
        }
        left.offers += offers[next...]

        (self.present, self.picked) = (present, picked)
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

    /// The pairs that result if each group is matched by ascending address.
    func pairsInOrder(_ groups: [MatchingGroup]) -> [Pair] {
        groups.flatMap { Array(zip($0.requested, $0.present)) }
    }

    /// Returns the ids when the pairs of requested and present positions are matched.
    func ids(matching pairs: [Pair]) -> [SlotID?] {
        var all = picked
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
        guestPhysicalAddress == other.guestPhysicalAddress && SlotKind(self) == SlotKind(other)
    }
}

/// Requested and present slots of one kind that can be matched in any way.
struct MatchingGroup {
    private(set) var requested: [Int] = []
    private(set) var present: [Int] = []

    /// The slots that have a request and an offer of their kind, in the order given.
    static func groups(
        _ requests: some Collection<(position: Int, slot: Memslot)>,
        _ offers: some Collection<(position: Int, slot: Memslot)>
    ) -> [MatchingGroup] {
        guard !requests.isEmpty, !offers.isEmpty else { return [] }
        var places: [SlotKind: Int] = [:]
        var groups: [MatchingGroup] = []
        for request in requests {
            let place = places[SlotKind(request.slot), default: groups.count]
            if place == groups.count {
                places[SlotKind(request.slot)] = place
                groups.append(MatchingGroup())
            }
            groups[place].requested.append(request.position)
        }
        for offer in offers {
            guard let place = places[SlotKind(offer.slot)] else { continue }
            groups[place].present.append(offer.position)
        }
        return groups.filter { !$0.present.isEmpty }.sorted { $0.requested[0] < $1.requested[0] }
    }

    /// Whether there is more than one way to match as many as possible.
    var hasChoice: Bool { requested.count > 1 || present.count > 1 }
}

/// All that KVM can't change in place.
struct SlotKind: Hashable {
    private let slot: Memslot

    init(_ slot: Memslot) {
        var slot = slot
        slot.id = nil
        slot.guestPhysicalAddress = GuestPhysicalAddress(0)
        slot.flags.remove(.logDirtyPages)
        self.slot = slot
    }

    /// Slots of equal size at one userspace address are rare but for aliases.
    func hash(into hasher: inout Hasher) {
        hasher.combine(slot.userspaceAddress.rawValue)
        hasher.combine(slot.memoryOffset.rawValue)
        hasher.combine(slot.size.rawValue)
    }
}
