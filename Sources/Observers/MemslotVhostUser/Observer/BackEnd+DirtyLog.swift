internal import Memslots

/// The dirty log of a back end.
extension BackEnd {
    /// Makes sure that the back end records its writes if one of `slots` logs, before it gets `table`.
    ///
    /// Does not end a log: what is written until the transaction commits belongs to the former array.
    mutating func beginLog(
        for slots: [Memslot], _ table: [VhostUserRegion], by deadline: Deadline
    ) throws(VhostUserError) {
        guard hasRings, slots.contains(where: \.isLogging) || isLogging else {
            return
        }
        guard offer.protocolFeatures.contains(.sharedLog), offer.features.contains(.logAll) else {
            throw .notNegotiated("a dirty log (LOG_SHMFD and LOG_ALL)")
        }
        let end = max(
            table.last?.guestRange.upperBound ?? 0, regions.last?.guestRange.upperBound ?? 0)
        if log.map({ $0.size < LogMemory.size(guestEnd: end) }) ?? true {
            let new = try LogMemory(guestEnd: end)
            try frontEnd.setLog(descriptor: new.descriptor.number, size: new.size, by: deadline)
            // The back end has replied: it does not write to the former one any more.
            harvestLog()
            log = new
        }
        try setLogging(true, by: deadline)
    }

    /// Ends the recording if no visible slot logs.
    mutating func endLogIfUnused(by deadline: Deadline) throws(VhostUserError) {
        if !slots.contains(where: \.isLogging) { try setLogging(false, by: deadline) }
    }

    private mutating func setLogging(_ isOn: Bool, by deadline: Deadline) throws(VhostUserError) {
        guard isOn != isLogging else { return }
        var features = frontEnd.features
        if isOn { features.insert(.logAll) } else { features.remove(.logAll) }
        try frontEnd.set(features, by: deadline)
        isLogging = isOn
        // A stopped ring gets the flag when it restarts.
        for (index, ring) in rings.sorted(by: { $0.key < $1.key })
        where ring.isStarted && !ring.isStopped {
            try frontEnd.setAddresses(
                ofRing: index, to: ring.ring.addresses, logsUsed: isOn, by: deadline)
        }
    }

    /// Moves the bits of the log to `written`, translated by the slots in force.
    mutating func harvestLog() {
        guard let log else { return }
        let ascending = slots.sorted { $0.guestPhysicalAddress < $1.guestPhysicalAddress }
        var position = 0
        var bits: DirtyBitmap?
        func flush() -> DirtyPages? {
            guard let found = bits, !found.isEmpty else { return nil }
            bits = nil
            return DirtyPages(slot: ascending[position], runs: found.runs)
        }
        var harvested: [DirtyPages] = []
        log.removeAll { page in
            while position < ascending.count,
                ascending[position].guestPhysicalEnd.pageNumber <= page
            {
                if let pages = flush() { harvested.append(pages) }
                position += 1
            }
            guard position < ascending.count else { return }
            let slot = ascending[position]
            guard slot.guestPhysicalAddress.pageNumber <= page else { return }
            let own = page - slot.guestPhysicalAddress.pageNumber
            if bits == nil { bits = DirtyBitmap(pageCount: slot.pageCount) }
            bits?.insert(own..<own + 1)
        }
        if let pages = flush() { harvested.append(pages) }
        written += harvested
    }

    /// Returns what the back end wrote since the last call.
    mutating func removeWritten() -> [DirtyPages] {
        harvestLog()
        defer { written = [] }
        return written
    }
}
