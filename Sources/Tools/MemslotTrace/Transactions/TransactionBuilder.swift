import Memslots

/// Replays a VM's calls, and closes a transaction after each run of them.
struct TransactionBuilder {
    private(set) var needs = BackendNeeds()
    private var table = SlotTable()
    private var grouping: TransactionGrouping
    private var open: Open?
    private var generation = Generation(rawValue: 0)

    /// The transaction that is being collected.
    private struct Open {
        var calls: [RecordedCall] = []
        /// The touched slots as they were.
        var before: [SlotKey: Memslot?] = [:]
        var changes = ChangeCounts()
        var holes: HoleTracker
    }

    init(grouping: TransactionGrouping) {
        self.grouping = grouping
    }

    /// Takes the VM's next call, and gives back the transaction that it ended and anything odd.
    ///
    /// - Parameter isRunner: whether the call's thread enters `KVM_RUN` anywhere in the log.
    mutating func add(
        _ call: RecordedCall, in log: SlotCallLog, isRunner: Bool
    ) -> (ended: ImportedTransaction?, surprise: SurprisingCall?) {
        var ended: ImportedTransaction?
        if grouping.begins(with: call, isRunner: isRunner) { ended = finish() }
        let unseen =
            log.isRecorded || log.hasRunner(otherThan: call.thread, of: call.machine)
        var open =
            open
            ?? Open(
                holes: HoleTracker(
                    quietMeans: !log.isRecorded && !log.hasRunners || (unseen && log.isCondensed)
                        ? .unknown : .notRunning))
        // Not shared with `self` while it grows.
        self.open = nil
        let surprise = apply(call, to: &open, othersRun: unseen)
        self.open = open
        return (ended, surprise)
    }

    private mutating func apply(
        _ call: RecordedCall, to open: inout Open, othersRun: Bool
    ) -> SurprisingCall? {
        open.calls.append(call)
        guard let region = call.region else {
            open.changes.count(.nothing)
            return SurprisingCall(line: call.line, surprise: .undecoded)
        }
        let key = Memslot(region).key
        let old = table[key]
        let change = table.apply(region)
        if open.before[key] == nil { open.before[key] = .some(old) }
        for removed in change.removed where open.before[removed.key] == nil {
            open.before[removed.key] = .some(removed)
        }
        if let slot = change.added ?? change.reflagged?.to { needs.include(slot) }
        open.changes.count(change.kind)
        open.holes.take(change, at: call, othersRun: othersRun)
        return change.surprise.map { SurprisingCall(line: call.line, key: key, surprise: $0) }
    }

    /// The last call of the transaction that is open.
    var lastCall: RecordedCall? { open?.calls.last }

    /// Ends the transaction that is open, if there is one.
    mutating func finish() -> ImportedTransaction? {
        guard let open, let first = open.calls.first else { return nil }
        self.open = nil
        let isUnchanged = open.before.allSatisfy { table[$0.key] == $0.value }
        if !isUnchanged { generation = generation.next }
        return ImportedTransaction(
            machine: first.machine, thread: first.thread, time: first.time,
            endTime: open.calls.last?.time, calls: open.calls,
            outcome: isUnchanged ? .unchanged : .committed, generation: generation,
            changes: open.changes, audit: open.holes.finish())
    }
}
