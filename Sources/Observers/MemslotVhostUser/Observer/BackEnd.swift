internal import Glibc
internal import Memslots

/// A back end, the transaction that it is prepared for, and what it has: `regions` is updated with
/// each message that it confirms.
struct BackEnd {
    var frontEnd: VhostUserFrontEnd
    var offer: VhostUserOffer
    let configuration: VhostUserObserver.Configuration

    var condition = VhostUserState.detached
    /// The condition that the embedder knows of.
    var reported = VhostUserState.detached
    /// Ascending by guest address.
    var regions: [VhostUserRegion] = []
    /// The table of the array in force, also while the back end is lost.
    var target: [VhostUserRegion] = []
    /// The visible slots of the array in force; none without rings.
    var slots: [Memslot] = []
    /// Rings that were ever started, by number.
    var rings: [Int: KeptRing] = [:]
    var ringStops = 0
    var prepared: Prepared?
    var inflight: InflightBuffer?
    var beginError: VhostUserError?
    /// The last log that the back end was given.
    var log: LogMemory?
    var isLogging = false
    /// What it wrote, by slots that were in force then.
    var written: [DirtyPages] = []

    /// A transaction between `prepare` and its end.
    struct Prepared {
        /// The visible slots of the array to come.
        var slots: [Memslot]
        /// The regions before it.
        var former: [VhostUserRegion]
        /// The regions after it.
        var target: [VhostUserRegion]
        /// The rings that were stopped for it.
        var stopped: [Int]
        let thread = pthread_self()
    }

    var isInTransaction: Bool { prepared != nil }
    /// Whether another thread executes a transaction. This one can't wait for the end of its own.
    var isInOthersTransaction: Bool { prepared.map { $0.thread != pthread_self() } ?? false }
    /// What was sent before the last transaction.
    private(set) var sentBefore: [VhostUserRequest: Int] = [:]
    var isPacked: Bool { frontEnd.features.contains(.packedRing) }
    var hasMemorySlots: Bool { offer.protocolFeatures.contains(.memorySlots) }
    /// Without rings it writes nothing, so it needs no dirty log.
    var hasRings: Bool { offer.ringCount > 0 }
    var runningRings: [Int] { rings.filter { $0.value.isStarted }.keys.sorted() }

    /// Runs `body`. Returns its result, and a new state that the embedder must know of.
    mutating func run<R>(
        _ body: (inout BackEnd) throws(VhostUserError) -> R
    ) -> (result: Result<R, VhostUserError>, news: VhostUserState?) {
        let result = Result { () throws(VhostUserError) in try body(&self) }
        if case .failure(let error) = result, error.endsConnection { lose(error) }
        defer { reported = condition }
        switch condition {
        case .detached, .attached: return (result, nil)
        case .lost, .needsReset: return (result, condition == reported ? nil : condition)
        }
    }

    /// Gives the back end up. It has no memory of ours any more, as far as we can know.
    mutating func lose(_ error: VhostUserError) {
        if case .lost = condition { return }
        condition = .lost(error)
        frontEnd.close()
        regions = []
    }

    func visible(_ slots: [Memslot]) throws(VhostUserError) -> [Memslot] {
        let visible = slots.filter(configuration.isVisible)
        for slot in visible {
            guard let object = slot.memory?.object, configuration.descriptor(object) != nil else {
                throw .noDescriptor(slot.guestPhysicalAddress)
            }
        }
        return visible
    }

    mutating func begin(with slots: [Memslot], by deadline: Deadline) throws(VhostUserError) {
        beginError = nil
        do throws(VhostUserError) {
            let slots = try visible(slots)
            let table = RegionChange.initialTable(of: slots)
            try beginLog(for: slots, table, by: deadline)
            try sendFirstTable(table, by: deadline)
            (self.slots, target) = (hasRings ? slots : [], table)
            condition = .attached
        } catch {
            beginError = error
            throw error
        }
    }

    mutating func prepare(_ after: [Memslot], by deadline: Deadline) throws(VhostUserError) {
        sentBefore = frontEnd.messagesSent
        if case .lost = condition {
            // Nothing is sent, so a slot that could not be does not matter.
            let slots = after.filter(configuration.isVisible)
            prepared = Prepared(
                slots: slots, former: [], target: RegionChange.initialTable(of: slots), stopped: [])
            return
        }
        let after = try visible(after)
        let change = RegionChange(from: regions, to: after, limit: offer.regionLimit)
        try requireRings(toStayIn: change.table)
        guard change.table.count <= offer.regionLimit else {
            throw .tooManyRegions(change.table.count, limit: offer.regionLimit)
        }
        let former = regions
        let touched = ringsTouched(by: change)
        var stopped: [Int] = []
        do throws(VhostUserError) {
            try drain(touched, &stopped, by: deadline)
            ringStops += stopped.count
            // Before the addresses mean something else.
            if !touched.isEmpty { harvestLog() }
            try beginLog(for: after, change.table, by: deadline)
            try exchange(to: interimTable(change, stopped: touched), by: deadline)
        } catch {
            // After an error of the connection there is nothing to restore.
            if error.endsConnection { throw error }
            restore(former, stopped)
            throw error
        }
        prepared = Prepared(slots: after, former: former, target: change.table, stopped: stopped)
    }

    mutating func finish() {
        guard let prepared else { return }
        self.prepared = nil
        (slots, target) = (hasRings ? prepared.slots : [], prepared.target)
        ending { backEnd, deadline throws(VhostUserError) in
            try backEnd.exchange(to: prepared.target, by: deadline)
            try backEnd.endLogIfUnused(by: deadline)
            try backEnd.restart(prepared.stopped, by: deadline)
        }
    }

    mutating func abort() {
        guard let prepared else { return }
        self.prepared = nil
        restore(prepared.former, prepared.stopped)
    }

    /// Returns to `former` after a transaction that did not commit. Added regions go only while no
    /// ring runs that might use them.
    private mutating func restore(_ former: [VhostUserRegion], _ stopped: [Int]) {
        ending { backEnd, deadline throws(VhostUserError) in
            var stopped = stopped
            if backEnd.regions != former {
                let running = backEnd.runningRings.filter { !stopped.contains($0) }
                try backEnd.drain(running, &stopped, by: deadline)
                backEnd.ringStops += running.count
                try backEnd.exchange(to: former, by: deadline)
            }
            try backEnd.endLogIfUnused(by: deadline)
            try backEnd.restart(stopped, by: deadline)
        }
    }

    /// Runs `body` after the outcome is decided: an error is that of the back end alone.
    private mutating func ending(_ body: (inout BackEnd, Deadline) throws(VhostUserError) -> Void) {
        if case .lost = condition { return }
        do throws(VhostUserError) { try body(&self, .after(configuration.patience)) } catch {
            lose(error)
        }
    }

    /// The rings that must stop: those that may use memory that goes, is exchanged or is cut. A back
    /// end without memory slots maps everything anew with each table.
    private func ringsTouched(by change: RegionChange) -> [Int] {
        if change.isEmpty { return [] }
        if !hasMemorySlots { return runningRings }
        let lost = change.gone + change.cut
        if lost.isEmpty { return [] }
        return runningRings.filter {
            rings[$0]?.ring.isTouched(by: lost, isPacked: isPacked) == true
        }
    }

    /// The table until `finish`: what only goes stays until then, if there is room for it.
    private func interimTable(_ change: RegionChange, stopped: [Int]) -> [VhostUserRegion] {
        let target = change.table
        let mayUseTable = stopped == runningRings && target.count <= VhostUserOffer.tableLimit
        if !hasMemorySlots || (mayUseTable && !change.cut.isEmpty) { return target }
        let interim = (target + change.gone).sorted { $0.guestAddress < $1.guestAddress }
        return interim.count <= offer.regionLimit ? interim : target
    }

    private func requireRings(toStayIn table: [VhostUserRegion]) throws(VhostUserError) {
        // One that was set up but does not run is parked, which needs memory that stays.
        for index in rings.keys where rings[index]?.isStarted == false {
            let own = rings[index]?.ring.ownRanges(isPacked: isPacked) ?? []
            guard shelter(in: table) != nil || isCovered(own, by: table) else {
                throw .invalid(
                    "the back end has set up ring \(index), and no memory stays; reset the device")
            }
        }
        for index in runningRings {
            for range in rings[index]?.ring.ownRanges(isPacked: isPacked) ?? [] {
                let before = Self.pieces(of: range, in: regions)
                guard before == Self.pieces(of: range, in: table) else {
                    throw .invalid("the memory of ring \(index) would go while it is started")
                }
            }
        }
    }

    /// The memory behind guest bytes, in the form that does not depend on cuts.
    static func pieces(
        of range: Range<UInt64>, in regions: [VhostUserRegion]
    ) -> [VhostUserRegion] {
        var pieces: [VhostUserRegion] = []
        for region in regions where region.guestRange.overlaps(range) {
            pieces.extend(by: region.part(region.guestRange.clamped(to: range)))
        }
        return pieces
    }
}
