import Memslots

/// Finds the holes of a VM, call by call. The only place that decides what a hole is.
struct HoleEngine {
    private struct Absence {
        var call: RecordedCall
        var transaction: Int
        /// The former host memory of the first byte, whose guest address is `start`.
        var host: HostRange?
        var start: UInt64
        /// Whether the removal itself is not in the log.
        var isInferred: Bool
    }

    let vcpus: KnownVCPUs
    private var missing = SpaceRanges<Absence>()

    init(vcpus: KnownVCPUs) { self.vcpus = vcpus }

    /// Applies the next call of a transaction, and returns the absences that it ended.
    mutating func apply(
        _ change: SlotChange, at call: RecordedCall, in transaction: Int
    ) -> [Hole] {
        // Of such a change nothing is known but the arrays before and after it.
        for (place, slot) in change.removed.enumerated() where !call.isOfArray {
            // With a contradiction, a call that the log does not show removed the slot.
            let isInferred = change.surprise != nil && !(change.kind == .move && place == 0)
            // A call that moves a slot may map some of its bytes at their old place.
            for range in slot.range.subtracting(change.added?.range) {
                missing.insert(
                    range,
                    Absence(
                        call: call, transaction: transaction, host: slot.host(at: range.start),
                        start: range.start, isInferred: isInferred))
            }
        }
        guard let added = change.added else { return [] }
        let ended = missing.remove(added.range)
        return (call.isOfArray ? [] : ended).map { range, absence in
            hole(range, absence, endedBy: call, in: transaction, added)
        }
    }

    /// The bytes that no call has mapped again.
    var removedBytes: UInt64 {
        missing.elements.filter { !$0.value.isInferred }
            .reduce(0) { $0.addingSaturated($1.range.count) }
    }

    private func hole(
        _ range: SpaceRange, _ absence: Absence, endedBy call: RecordedCall,
        in transaction: Int, _ added: Memslot
    ) -> Hole {
        let removal = absence.call
        let new = added.host(at: range.start)
        var old = absence.host
        old?.start &+= range.start - absence.start
        let backing: Hole.Backing =
            old == nil || new == nil ? .unknown : old == new ? .same : .other
        let isAsIt = backing == .same && !entersGuest(removal, before: call)
        let isHole = isAsIt || absence.transaction == transaction
        return Hole(
            addressSpace: range.space, start: GuestPhysicalAddress(rawValue: range.start),
            size: ByteCount(rawValue: range.count), host: new ?? HostRange(start: range.start),
            removedOnLine: removal.line, returnedOnLine: call.line, thread: removal.thread,
            certainNanoseconds: removal.end.certainly(until: call.begin),
            atMostNanoseconds: removal.begin.atMost(until: call.end),
            begin: removal.begin.earliest, end: call.end.latest, backing: backing,
            verdict: isHole && !absence.isInferred ? .hole : .unclear,
            guest: vcpus.activity(between: removal, and: call))
    }

    /// Whether the thread of `removal` may have entered `KVM_RUN` before `call`.
    private func entersGuest(_ removal: RecordedCall, before call: RecordedCall) -> Bool {
        // Under `--atomic` the guest ran between two commits, and its vCPU asked for the second.
        if removal.commit != nil, removal.commit != call.commit, call.runsBefore > 0,
            removal.thread != call.thread
        {
            return true
        }
        if let line = removal.nextRun { return line < call.line }
        if removal.thread == call.thread { return removal.runsBefore != call.runsBefore }
        // A recorded thread that runs vCPUs: its entries are known only with those of all.
        return removal.runsBefore > 0 && removal.atBegin.entries != call.atBegin.entries
    }
}

extension Memslot {
    /// The host memory of the byte at `address`; `nil` for a guest_memfd without a known file.
    func host(at address: UInt64) -> HostRange? {
        let distance = address &- guestPhysicalAddress.rawValue
        guard flags.contains(.guestMemfd) else {
            return HostRange(start: userspaceAddress.rawValue &+ distance)
        }
        return guestMemfd.flatMap { file in
            file.descriptor < 0
                ? nil
                : HostRange(
                    file: UInt32(bitPattern: file.descriptor),
                    start: file.offset.rawValue &+ distance)
        }
    }
}

extension Moment {
    /// The least time from this moment to `later`; `nil` without times.
    fileprivate func certainly(until later: Moment) -> UInt64? {
        guard earliest != nil, let to = later.earliest else { return nil }
        guard let from = latest, epoch == later.epoch else { return 0 }
        return to.nanoseconds(since: from)
    }

    /// The most time from this moment to `later`; `nil` if it is unknown.
    func atMost(until later: Moment) -> UInt64? {
        guard let from = earliest, let to = later.latest, epoch == later.epoch else { return nil }
        return to.nanoseconds(since: from)
    }
}
