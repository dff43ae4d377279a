import MemslotProtocol
import MemslotScenario
package import Memslots

struct TransactionBuilder {
    private(set) var needs = SimulatedParameters()
    private(set) var table = SlotTable()
    private(set) var engine: HoleEngine
    private var grouping: TransactionGrouping
    private var open = Open()
    private var generation = Generation(rawValue: 0)
    private var number = 0

    private struct Open {
        var calls: [RecordedCall] = []
        var before: [SlotKey: Memslot?] = [:]
        var changes: [ChangeKind: Int] = [:]
        var holes: [Hole] = []
    }

    init(grouping: TransactionGrouping, vcpus: KnownVCPUs) {
        self.grouping = grouping
        engine = HoleEngine(vcpus: vcpus)
    }

    /// Adds the VM's next call. A runner's thread enters `KVM_RUN` anywhere in the log.
    mutating func add(
        _ call: RecordedCall, isRunner: Bool
    ) -> (ended: ImportedTransaction?, surprise: SurprisingCall?) {
        let ended = grouping.begins(with: call, isRunner: isRunner) ? finish() : nil
        return (ended, apply(call))
    }

    private mutating func apply(_ call: RecordedCall) -> SurprisingCall? {
        open.calls.append(call)
        guard let region = call.region else {
            open.changes[.undecoded, default: 0] += 1
            return SurprisingCall(line: call.line, surprise: .undecoded)
        }
        let key = Memslot(region).assignedKey
        let old = table[key]
        let change = table.apply(region)
        if open.before[key] == nil { open.before[key] = .some(old) }
        for removed in change.removed where open.before[removed.assignedKey] == nil {
            open.before[removed.assignedKey] = .some(removed)
        }
        if let slot = change.added ?? change.reflagged?.to { needs.include(slot) }
        let isUnknown = change.surprise != nil && change.kind == .nothing
        open.changes[isUnknown ? .undecoded : change.kind, default: 0] += 1
        open.holes += engine.apply(change, at: call, in: number)
        return change.surprise.map { SurprisingCall(line: call.line, key: key, surprise: $0) }
    }

    var lastCall: RecordedCall? { open.calls.last }

    mutating func finish() -> ImportedTransaction? {
        guard let first = open.calls.first, let last = open.calls.last else { return nil }
        defer { open = Open() }
        number += 1
        let changed = open.before.filter { table[$0.key] != $0.value }.sorted { $0.key < $1.key }
        if !changed.isEmpty { generation = generation.next }
        return ImportedTransaction(
            machine: first.machine, thread: first.thread, time: first.time,
            calls: open.calls, outcome: changed.isEmpty ? .unchanged : .committed,
            generation: generation, changes: open.changes, removed: changed.compactMap(\.value),
            added: changed.compactMap { table[$0.key] },
            audit: HoleAudit(
                all: open.holes, guestDuringTransaction: engine.vcpus.activity(during: first, last))
        )
    }
}

/// Decides which of a VM's calls, which it gets in order, belong to one transaction: a sequence of
/// calls of one thread. It ends at another thread's call, and when the thread enters `KVM_RUN`; for
/// a thread that never does, at a pause. It ends after ``longest`` calls too, so that a thread that
/// never pauses is written down while it runs.
struct TransactionGrouping {
    /// The most calls of a transaction that is not a commit.
    static let longest = 1_000

    /// The longest pause within a transaction of a thread that never enters `KVM_RUN`.
    let gapNanoseconds: UInt64
    /// Whether times are whole seconds, so that a difference of one second may be almost none.
    var isCoarse = false

    private(set) var previous: RecordedCall?
    private(set) var count = 0

    mutating func begins(with call: RecordedCall, isRunner: Bool) -> Bool {
        let begins = isBoundary(before: call, isRunner: isRunner)
        (count, previous) = (begins ? 1 : count + 1, call)
        return begins
    }

    private func isBoundary(before call: RecordedCall, isRunner: Bool) -> Bool {
        guard let previous, previous.commit == call.commit else { return true }
        if call.commit != nil { return false }
        guard count < Self.longest, previous.thread == call.thread else { return true }
        if isRunner { return previous.runsBefore != call.runsBefore }
        // From the end of the one call to the begin of the other.
        guard let earlier = previous.end.earliest, let time = call.begin.latest else {
            return false
        }
        var pause = time.nanoseconds(since: earlier)
        if isCoarse { pause = pause > 2_000_000_000 ? pause - 2_000_000_000 : 0 }
        return pause > gapNanoseconds
    }
}

package struct ImportedTransaction: Sendable {
    package enum Outcome: String, Hashable, Sendable { case committed, unchanged }

    /// The VM, an index into ``ImportedScenario/machines``.
    package var machine: Int
    package var thread: ThreadID
    /// The time of the first call; `nil` in a log without times.
    package var time: TraceTime?
    /// The calls in order; never empty.
    package var calls: [RecordedCall]
    package var outcome: Outcome
    /// The number of transactions of the VM, including this one, that changed something.
    package var generation: Generation
    /// How many calls did what.
    package var changes: [ChangeKind: Int]
    /// The slots that it changed, as they were before and as they are after it, by their ids.
    var removed: [Memslot]
    var added: [Memslot]
    package var audit: HoleAudit

    package var line: Int { calls.first?.line ?? 0 }
}
