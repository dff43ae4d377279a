package import Memslots

/// Guest memory that was mapped before and after a transaction, and missing in between.
package struct Hole: Hashable, Sendable {
    package var addressSpace: AddressSpaceID
    package var start: GuestPhysicalAddress
    /// Bytes, never 0.
    package var size: ByteCount
    /// The line of the call that removed the memory.
    package var removedOnLine: Int
    /// The line of the call that restored it.
    package var returnedOnLine: Int
    /// How long it was missing: from the time of the one line to that of the other. `nil` in a log
    /// without times. strace slows the VMM down, so this is an upper bound for an untraced VMM.
    package var nanoseconds: UInt64?
    /// Whether another thread was in the guest during that time.
    package var guest: GuestActivity
}

/// The holes of one transaction.
///
/// Each address space is compared only with itself. Holes within one `DELETE` or `MOVE` call of the
/// kernel are not in an strace log, so they are not included.
package struct HoleAudit: Hashable, Sendable {
    /// The holes, in the order in which they were closed. Memory that was missing twice is listed
    /// twice.
    package var holes: [Hole] = []
    /// The bytes that were missing at some time; each byte counts once.
    package var missing: ByteCount = .zero
    package var longestNanoseconds: UInt64?
    /// How long any memory was missing: the length of the union of all holes' times.
    package var totalNanoseconds: UInt64?
    /// Whether another thread was in the guest during any of them.
    package var guest: GuestActivity = .notRunning

    package var isSeamless: Bool { holes.isEmpty }
}

/// Finds the holes of one transaction, call by call.
struct HoleTracker {
    private struct Moment {
        var line: Int
        var time: TraceTime?
        /// How many calls, up to this one, were made while another thread was in the guest.
        var running: Int
    }

    /// Memory from before the transaction that is missing now, and since when.
    private var missing = SpaceRanges<Moment>()
    /// All memory from before the transaction that was ever removed.
    private var removed = SpaceRanges<Void>()
    /// The slots that the transaction itself created.
    private var created: Set<SpaceRange> = []
    /// Memory that was missing and is mapped again.
    private var closed: [(range: SpaceRange, from: Moment, to: Moment)] = []
    private var running = 0
    private let quietMeans: GuestActivity

    /// - Parameter quietMeans: the guest's activity if there is no `KVM_RUN` between two calls.
    init(quietMeans: GuestActivity) {
        self.quietMeans = quietMeans
    }

    /// Applies the next call.
    ///
    /// - Parameter othersRun: whether any thread but the caller runs vCPUs of the VM.
    mutating func apply(_ change: SlotChange, at call: RecordedCall, othersRun: Bool) {
        if call.guestWasRunning, othersRun { running += 1 }
        let moment = Moment(line: call.line, time: call.time, running: running)
        for slot in change.removed { remove(slot.range, at: moment) }
        if let slot = change.added { add(slot.range, at: moment) }
    }

    private mutating func remove(_ range: SpaceRange, at moment: Moment) {
        if created.remove(range) != nil {
            // Of a slot that the transaction created, only the part over removed memory existed
            // before.
            for (piece, _) in removed.pieces(in: range) { missing.insert(piece, moment) }
        } else {
            missing.insert(range, moment)
            removed.insert(range, ())
        }
    }

    private mutating func add(_ range: SpaceRange, at moment: Moment) {
        for (piece, from) in missing.remove(range) { closed.append((piece, from, moment)) }
        created.insert(range)
    }

    /// The holes, after the last call.
    func finish() -> HoleAudit {
        var audit = HoleAudit()
        for (range, from, to) in closed {
            let nanoseconds = from.time.flatMap { from in to.time?.nanoseconds(since: from) }
            // Memory that is missing at the end was not mapped after the transaction.
            for piece in missing.gaps(in: range) {
                audit.holes.append(
                    Hole(
                        addressSpace: piece.space,
                        start: GuestPhysicalAddress(rawValue: piece.start),
                        size: ByteCount(rawValue: piece.count), removedOnLine: from.line,
                        returnedOnLine: to.line, nanoseconds: nanoseconds,
                        guest: to.running > from.running ? .running : quietMeans))
            }
        }
        guard !audit.isSeamless else { return audit }
        audit.missing = ByteCount(rawValue: missingBytes(audit.holes))
        audit.longestNanoseconds = audit.holes.compactMap(\.nanoseconds).max()
        audit.totalNanoseconds = totalNanoseconds()
        let activities = Set(audit.holes.map(\.guest))
        audit.guest =
            [.running, .unknown].first(where: activities.contains) ?? GuestActivity.notRunning
        return audit
    }

    private func missingBytes(_ holes: [Hole]) -> UInt64 {
        let ranges = holes.map {
            (space: $0.addressSpace, start: $0.start.rawValue, size: $0.size.rawValue)
        }.sorted { ($0.space, $0.start) < ($1.space, $1.start) }
        var sum: UInt64 = 0
        var space: AddressSpaceID?
        var end: UInt64 = 0
        for range in ranges {
            if range.space != space { end = 0 }
            space = range.space
            let last = range.start &+ range.size
            if last > end { sum &+= last - max(end, range.start) }
            end = max(end, last)
        }
        return sum
    }

    private func totalNanoseconds() -> UInt64? {
        var stretches: [(from: TraceTime, to: TraceTime)] = []
        for (range, from, to) in closed where !missing.gaps(in: range).isEmpty {
            guard let from = from.time, let to = to.time else { return nil }
            stretches.append((from, to))
        }
        stretches.sort { $0.from < $1.from }
        var sum: UInt64 = 0
        var end = TraceTime(rawValue: 0)
        for (from, to) in stretches where to > end {
            sum &+= to.nanoseconds(since: max(from, end))
            end = to
        }
        return sum
    }
}
