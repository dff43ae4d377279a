internal import CLinux
internal import Glibc
internal import Memslots

/// Rings: started, drained, restarted.
extension BackEnd {
    mutating func start(_ kept: KeptRing, by deadline: Deadline) throws(VhostUserError) {
        if case .lost(let error) = condition { throw error }
        let index = kept.ring.index
        guard hasRings else { throw .invalid("the back end has no rings") }
        guard rings[index]?.isStarted != true else { throw .invalid("ring \(index) is started") }
        if inflight == nil, offer.protocolFeatures.contains(.inflight) {
            let buffer = try frontEnd.inflightBuffer(
                rings: max(offer.ringCount, index + 1), ringSize: kept.ring.size, by: deadline)
            try frontEnd.set(buffer, by: deadline)
            inflight = buffer
        }
        guard isCovered(kept.ring.ownRanges(isPacked: isPacked), by: regions) else {
            throw .invalid("ring \(index) is not in memory that the back end sees")
        }
        rings[index] = kept
        do throws(VhostUserError) { try restart([index], by: deadline) } catch {
            rings[index]?.isStarted = false
            throw error
        }
        if condition == .needsReset { condition = .attached }
    }

    mutating func stop(_ index: Int, by deadline: Deadline) throws(VhostUserError) -> UInt32 {
        if case .lost(let error) = condition { throw error }
        guard let ring = rings[index], ring.isStarted else {
            throw .invalid("ring \(index) is not started")
        }
        var stopped: [Int] = []
        do throws(VhostUserError) { try drain([index], &stopped, by: deadline) } catch {
            if !error.endsConnection { try restart(stopped, by: deadline) }
            throw error
        }
        rings[index]?.isStarted = false
        return rings[index]?.base ?? 0
    }

    /// Stops rings and waits for their requests. `stopped` gets those to restart, also on an error.
    mutating func drain(
        _ indexes: [Int], _ stopped: inout [Int], by deadline: Deadline
    ) throws(VhostUserError) {
        var filled: Set<Int> = []
        if !configuration.waitsForRequests {
            // A driver that is not notified does not continue, so its requests come to an end.
            for index in indexes {
                try frontEnd.setCall(
                    ofRing: index, descriptor: configuration.silence.number, by: deadline)
                stopped.append(index)
            }
            filled = try rest(indexes, by: deadline)
        }
        for index in indexes {
            guard let ring = rings[index] else { continue }
            if configuration.waitsForRequests { stopped.append(index) }
            let base = try frontEnd.stop(ring: index, call: ring.call.number, by: deadline)
            rings[index]?.base = base
            rings[index]?.isStopped = true
            // It was notified of what is in the ring, and left it there.
            let used = memory(of: index)?.usedIndex
            rings[index]?.keepsBuffers =
                filled.contains(index) && used == UInt16(truncatingIfNeeded: base)
        }
        for index in indexes { try requireDrained(index, by: deadline) }
    }

    /// Ends the driver's notifications, and waits until the back end has returned everything, or
    /// nothing changes: for all rings at once, for at most half of the time that is left. Returns
    /// the rings in which something is left that the back end was notified of.
    private func rest(_ indexes: [Int], by deadline: Deadline) throws(VhostUserError) -> Set<Int> {
        for index in indexes {
            guard let kept = rings[index] else { continue }
            try frontEnd.setKick(ofRing: index, descriptor: kept.privateKick.number, by: deadline)
        }
        if !frontEnd.protocolFeatures.contains(.acknowledgement) {
            try frontEnd.confirm(by: deadline)
        }
        if isPacked { return [] }
        let left = min(deadline.remaining ?? .seconds(4), .seconds(4))
        let limit = Deadline.after(left / 2)
        var waits = indexes.compactMap { index in
            rings[index].flatMap { kept in
                memory(of: index).map { RingRest(kept, $0, left: left) }
            }
        }
        while waits.contains(where: { !$0.isEmpty }) {
            while waits.contains(where: { !$0.isOver }), !limit.hasPassed {
                usleep(100)
                for place in waits.indices { waits[place].update() }
            }
            // Before the second round trip the back end is done with the notification, in which it may
            // have found what the driver has added since.
            for _ in 0..<2 { try frontEnd.confirm(by: deadline) }
            var isChanged = false
            for place in waits.indices { isChanged = waits[place].update() || isChanged }
            if !isChanged || limit.hasPassed { break }
        }
        return Set(waits.lazy.filter { !$0.isEmpty && !$0.isPolled }.map(\.index))
    }

    /// Sets up and starts rings, in each where it stopped.
    mutating func restart(_ indexes: [Int], by deadline: Deadline) throws(VhostUserError) {
        if indexes.isEmpty { return }
        for index in indexes {
            guard let kept = rings[index] else { continue }
            if kept.isStopped {
                try frontEnd.setSize(ofRing: index, to: kept.ring.size, by: deadline)
                try frontEnd.setBase(ofRing: index, to: kept.base, by: deadline)
                try frontEnd.setAddresses(
                    ofRing: index, to: kept.ring.addresses, logsUsed: isLogging, by: deadline)
                rings[index]?.parkedIn = nil
            }
            try frontEnd.setKick(ofRing: index, descriptor: kept.kick.number, by: deadline)
            try frontEnd.setCall(ofRing: index, descriptor: kept.call.number, by: deadline)
            if kept.isStopped { try frontEnd.setEnabled(ring: index, true, by: deadline) }
            rings[index]?.isStopped = false
            // A notification may have gone to a descriptor that was not watched.
            Self.signal(kept.kick)
            Self.signal(kept.call)
        }
        try frontEnd.confirm(by: deadline)
    }

    private mutating func requireDrained(
        _ index: Int, by deadline: Deadline
    ) throws(VhostUserError) {
        guard let base = rings[index]?.base else { return }
        let low = UInt16(truncatingIfNeeded: base)
        if isPacked {
            guard base >> 16 == base & 0xffff else {
                throw .notDrained(ring: index, used: UInt16(base >> 16), base: low)
            }
        } else if let memory = memory(of: index) {
            // virtiofsd reads the base, and only then ends the thread of the ring, which meanwhile
            // executes more. When it has replied, it has returned all that it knows of.
            if configuration.waitsForRequests, memory.usedIndex &- low < 1 << 15 {
                rings[index]?.base = UInt32(memory.usedIndex)
            } else {
                try memory.waitUntilUsed(low, ring: index, by: deadline)
            }
        }
    }

    private func memory(of index: Int) -> RingMemory? {
        rings[index].flatMap { RingMemory(of: $0.ring, in: slots) }
    }

    static func signal(_ event: OwnedDescriptor) {
        // Fails only if the counter is full: then the event is signalled already.
        var one: UInt64 = 1
        write(event.number, &one, 8)
    }

    mutating func reconnect(
        _ frontEnd: VhostUserFrontEnd, offer: VhostUserOffer, by deadline: Deadline
    ) throws(VhostUserError) {
        guard case .lost = condition else { throw .invalid("the back end is not lost") }
        (self.frontEnd, self.offer) = (frontEnd, offer)
        // In as few regions as it takes: the new connection may have room for fewer.
        let table = Self.pieces(of: 0..<UInt64.max, in: target)
        let canRestart = runningRings.allSatisfy { index in
            isCovered(rings[index]?.ring.ownRanges(isPacked: isPacked) ?? [], by: table)
        }
        let keepsRequests =
            canRestart && inflight != nil && offer.protocolFeatures.contains(.inflight)
        if let inflight, keepsRequests { try frontEnd.set(inflight, by: deadline) }
        regions = []
        for index in rings.keys {
            rings[index]?.isStopped = true
            rings[index]?.parkedIn = nil
        }
        // The new connection has no log yet.
        harvestLog()
        (log, isLogging) = (nil, false)
        try beginLog(for: slots, table, by: deadline)
        try sendFirstTable(table, by: deadline)
        let running = runningRings
        condition = .attached
        if keepsRequests {
            // What it had read beyond the used index is in the buffer.
            for index in running {
                guard !isPacked, let memory = memory(of: index) else { continue }
                rings[index]?.base = UInt32(memory.usedIndex)
            }
            try restart(running, by: deadline)
        } else {
            inflight = nil
            rings = [:]
            if !running.isEmpty { condition = .needsReset }
        }
    }
}
