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
        return groups.filter { !$0.present.isEmpty }
            .sorted { $0.requested[0] < $1.requested[0] }
    }

    /// Whether there is more than one way to match as many as possible.
    var hasChoice: Bool { requested.count > 1 || present.count > 1 }
}
