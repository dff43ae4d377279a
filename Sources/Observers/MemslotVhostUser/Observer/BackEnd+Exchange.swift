internal import Memslots

/// The messages that take a back end from one table to another.
extension BackEnd {
    mutating func sendFirstTable(
        _ table: [VhostUserRegion], by deadline: Deadline
    ) throws(VhostUserError) {
        guard table.count <= offer.regionLimit else {
            throw .tooManyRegions(table.count, limit: offer.regionLimit)
        }
        try sendTable(Array(table.prefix(VhostUserOffer.tableLimit)), by: deadline)
        for region in table.dropFirst(VhostUserOffer.tableLimit) { try add(region, by: deadline) }
        try frontEnd.confirm(by: deadline)
    }

    /// Takes the back end from `regions` to `target`, and confirms it if they differ.
    ///
    /// - Precondition: no ring runs that may use what goes; none at all without memory slots.
    mutating func exchange(
        to target: [VhostUserRegion], by deadline: Deadline
    ) throws(VhostUserError) {
        let (present, wanted) = (Set(regions), Set(target))
        let removed = regions.filter { !wanted.contains($0) }
        let added = target.filter { !present.contains($0) }
        if removed.isEmpty && added.isEmpty { return }
        let replacesTable = !hasMemorySlots || (!removed.isEmpty && !added.isEmpty)
        if replacesTable, target.count <= VhostUserOffer.tableLimit, !someRingRuns {
            try park(ringsOutside: target, by: deadline)
            try sendTable(target, by: deadline)
        } else if removed.isEmpty || added.isEmpty || target.contains(where: present.contains) {
            if !added.isEmpty {
                try park(ringsOutside: regions.filter { wanted.contains($0) }, by: deadline)
            }
            for region in removed { try remove(region, by: deadline) }
            for region in added { try add(region, by: deadline) }
        } else {
            // No region stays in which a ring could be parked.
            try park(ringsOutside: target, by: deadline)
            try sendFirstTable(tableWithRingsFirst(target), by: deadline)
        }
        try frontEnd.confirm(by: deadline)
    }

    private mutating func sendTable(
        _ table: [VhostUserRegion], by deadline: Deadline
    ) throws(VhostUserError) {
        var entries: [(region: VhostUserRegion, descriptor: Int32)] = []
        for region in table { entries.append((region, try descriptor(of: region))) }
        try frontEnd.setTable(entries, by: deadline)
        regions = table.sorted { $0.guestAddress < $1.guestAddress }
    }

    private mutating func add(
        _ region: VhostUserRegion, by deadline: Deadline
    ) throws(VhostUserError) {
        try frontEnd.add(region, descriptor: try descriptor(of: region), by: deadline)
        regions.append(region)
        regions.sort { $0.guestAddress < $1.guestAddress }
    }

    private mutating func remove(
        _ region: VhostUserRegion, by deadline: Deadline
    ) throws(VhostUserError) {
        try frontEnd.remove(region, by: deadline)
        regions.removeAll { $0 == region }
    }

    private func descriptor(of region: VhostUserRegion) throws(VhostUserError) -> Int32 {
        guard let descriptor = configuration.descriptor(region.object) else {
            throw .noDescriptor(region.guestAddress)
        }
        return descriptor
    }
}

/// Rings in tables. libvhost-user looks up every ring that was ever set up, also a stopped one, with
/// each region that is added and each table; one that it does not find breaks the connection. So a
/// ring whose region goes gets addresses in memory that stays, until it starts again.
extension BackEnd {
    private var someRingRuns: Bool { rings.values.contains { $0.isStarted && !$0.isStopped } }

    /// The guest bytes of which the back end has the addresses for a ring.
    private func ranges(of index: Int) -> [Range<UInt64>] {
        guard let ring = rings[index] else { return [] }
        return ring.parkedIn.map { [$0] } ?? ring.ring.ownRanges(isPacked: isPacked)
    }

    /// Parks rings that would be outside of a table that follows the present one.
    private mutating func park(
        ringsOutside target: [VhostUserRegion], by deadline: Deadline
    ) throws(VhostUserError) {
        for index in rings.keys.sorted() where !isCovered(ranges(of: index), by: target) {
            guard let shelter = shelter(in: target) else {
                throw .invalid(
                    "the back end has set up ring \(index) in memory that goes, and no memory "
                        + "stays whose addresses it could have instead; reset the device")
            }
            let place = GuestPhysicalAddress(shelter.lowerBound)
            try frontEnd.setAddresses(
                ofRing: index,
                to: VhostUserRingAddresses(descriptors: place, available: place, used: place),
                by: deadline)
            rings[index]?.parkedIn = shelter
        }
    }

    /// Guest bytes in which a ring can be parked, because they are in `table` and in the present one.
    func shelter(in table: [VhostUserRegion]) -> Range<UInt64>? {
        table.lazy.map { $0.guestAddress.rawValue..<$0.guestAddress.rawValue + 4_096 }
            .first { isCovered([$0], by: regions) }
    }

    /// Whether all of `ranges` is in `table`, wherever its regions end.
    func isCovered(_ ranges: [Range<UInt64>], by table: [VhostUserRegion]) -> Bool {
        ranges.allSatisfy { range in
            let pieces = Self.pieces(of: range, in: table)
            return pieces.reduce(0) { $0 + $1.size.rawValue } == UInt64(range.count)
        }
    }

    /// The first regions of a table come in one message, and must hold every ring.
    private func tableWithRingsFirst(_ target: [VhostUserRegion]) -> [VhostUserRegion] {
        let used = rings.keys.flatMap { ranges(of: $0) }
        let holding = target.filter { $0.overlaps(any: used) }
        return holding + target.filter { !holding.contains($0) }
    }
}
