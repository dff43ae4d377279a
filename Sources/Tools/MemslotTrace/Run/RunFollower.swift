import CRunRecord
package import Memslots

/// Follows a run while it lasts, and says when a transaction ends: the same ones, with the same
/// figures, that ``RunRecording`` makes of it afterwards.
///
/// A plain state machine; ``RunRecordReader`` feeds it. Without `--atomic` a transaction ends where
/// its thread enters `KVM_RUN`, at another thread's call, and for a thread that has never run a
/// vCPU at a pause. With it each commit is one.
package struct RunFollower {
    private let isAtomic: Bool
    private let gapNanoseconds: UInt64
    private var machines: [Int: Machine] = [:]
    private var processes: [Int: Int32] = [:]
    private var reader = RunCallReader()
    private var durations: [Int: UInt64] = [:]
    private var start: TraceTime?
    private let log: SlotCallLog

    private struct Machine {
        var builder: TransactionBuilder
        var table = SlotTable()
        var commits = 0
    }

    /// Follows a run from its beginning.
    ///
    /// - Parameters:
    ///   - isAtomic: whether it is one with `--atomic`.
    ///   - options: how calls are grouped, and what the VMs are called.
    package init(isAtomic: Bool, options: TraceImporter.Options) {
        self.isAtomic = isAtomic
        gapNanoseconds = options.gapNanoseconds
        var log = SlotCallLog()
        log.isRecorded = true
        self.log = log
    }

    /// The name of a VM, as the scenario and the report have it.
    package static func name(of machine: Int, _ options: TraceImporter.Options) -> String {
        TraceAssembly.name(TraceAssembly.name(options.name), of: machine)
    }

    /// Takes the next record.
    mutating func take(_ record: RunRecord) -> [RunNews] {
        switch record {
        case .machine(let number, _, let process):
            machines[number] = Machine(
                builder: TransactionBuilder(
                    grouping: TransactionGrouping(gapNanoseconds: gapNanoseconds)))
            processes[number] = process
            return [.machine(number)]
        case .asked(let call): return isAtomic ? [] : take(call)
        case .made(let call): return isAtomic ? take(call) : []
        case .commit(let commit):
            machines[commit.machine]?.commits += 1
            return end(commit.machine, commit)
        case .entered(let thread):
            return machines.keys.sorted().flatMap { number in
                machines[number]?.builder.lastCall?.thread == thread ? end(number) : []
            }
        case .gone(let machine): return drop(machine)
        }
    }

    /// Ends what the pause up to now has ended. Nothing that was begun before `now` may be unread.
    mutating func look(at now: TraceTime) -> [RunNews] {
        guard !isAtomic else { return [] }
        return machines.keys.sorted().flatMap { number -> [RunNews] in
            guard let last = machines[number]?.builder.lastCall, last.runsBefore == 0,
                let time = last.time, now.nanoseconds(since: time) > gapNanoseconds
            else { return [] }
            return end(number)
        }
    }

    /// The processes that have VMs.
    var livingProcesses: Set<Int32> { Set(processes.values) }

    /// A process has ended, and its VMs with it.
    mutating func processEnded(_ process: Int32) -> [RunNews] {
        processes.filter { $0.value == process }.keys.sorted().flatMap { drop($0) }
    }

    /// Ends what is open, now that the run is over.
    mutating func finish() -> [RunNews] { machines.keys.sorted().flatMap { end($0) } }

    private mutating func take(_ call: RunCall) -> [RunNews] {
        guard call.errno == nil, machines[call.machine] != nil else { return [] }
        start = start ?? call.end
        durations[call.number] = call.nanoseconds
        var recorded = reader.read(call)
        if isAtomic { recorded.isMarked(byCommits: machines[call.machine]?.commits ?? 0) }
        let ended = machines[call.machine]?.builder.add(
            recorded, in: log, isRunner: isAtomic || call.runsBefore > 0
        ).ended
        return ended.map { [.transaction(follow($0, nil))] } ?? []
    }

    private mutating func end(_ number: Int, _ commit: RunCommit? = nil) -> [RunNews] {
        guard let ended = machines[number]?.builder.finish() else { return [] }
        return [.transaction(follow(ended, commit))]
    }

    private mutating func drop(_ number: Int) -> [RunNews] {
        let last = end(number)
        processes[number] = nil
        return machines.removeValue(forKey: number) == nil ? [] : last + [.gone(number)]
    }

    private mutating func follow(
        _ transaction: ImportedTransaction, _ commit: RunCommit?
    ) -> FollowedTransaction {
        let number = transaction.machine
        var operations: [SlotCall] = []
        var nanoseconds: UInt64 = 0
        let first = transaction.calls.first.flatMap { durations[$0.line] } ?? 0
        let length = transaction.endTime.flatMap { end in
            transaction.time.map { end.nanoseconds(since: $0) }
        }
        for call in transaction.calls {
            nanoseconds &+= durations.removeValue(forKey: call.line) ?? 0
            guard let region = call.region else { continue }
            operations += machines[number]?.table.apply(region).calls ?? []
        }
        return FollowedTransaction(
            transaction: transaction, operations: operations,
            slots: machines[number]?.table.slots ?? [], callNanoseconds: nanoseconds,
            nanoseconds: first &+ (length ?? 0),
            at: transaction.time.flatMap { time in start.map { time.nanoseconds(since: $0) } } ?? 0,
            commit: commit)
    }
}

extension SlotChange {
    /// The change as calls: one, and a deletion for each slot that must have gone unseen.
    fileprivate var calls: [SlotCall] {
        if let reflagged { return [.reflag(from: reflagged.from, to: reflagged.to)] }
        if kind == .move, let from = removed.first, let added {
            return removed.dropFirst().map { .delete($0) } + [.move(from: from, to: added)]
        }
        return removed.map { .delete($0) } + (added.map { [.create($0)] } ?? [])
    }
}

/// A transaction of a run, told as soon as it had ended.
package struct FollowedTransaction: Sendable {
    /// What it was, with its VM's number in the run.
    package var transaction: ImportedTransaction
    /// The calls that changed something, in order.
    package var operations: [SlotCall]
    /// The slots after it, ascending by address space and id.
    package var slots: [Memslot]
    /// How long the calls took together, in nanoseconds.
    package var callNanoseconds: UInt64
    /// From the beginning of the first call to the end of the last, in nanoseconds.
    package var nanoseconds: UInt64
    /// When it began: nanoseconds since the end of the run's first call.
    package var at: UInt64
    /// Its commit, under `--atomic`.
    package var commit: RunCommit?
}

/// What a run does while it lasts.
package enum RunNews: Sendable {
    /// A VM was made.
    case machine(Int)
    /// A transaction ended.
    case transaction(FollowedTransaction)
    /// A VM is gone.
    case gone(Int)
    /// There is no room for more than so many records: nothing more comes, and each VM goes.
    case full(Int)
}
