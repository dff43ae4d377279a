package import Memslots

/// Groups the records of a running VMM into transactions, with the same figures as ``RunRecording``
/// afterwards. Without `--atomic` a transaction ends when its thread enters `KVM_RUN`, at another
/// thread's call, and, for a thread that has never run a vCPU, at a pause.
package struct RunFollower {
    private let isAtomic: Bool
    private let gapNanoseconds: UInt64
    private var machines: [Int: Machine] = [:]
    private var start: TraceTime?

    private struct Machine {
        var process: Int32
        var builder: TransactionBuilder
        var table = SlotTable()
        var commits = 0
        /// Kernel calls since the last commit; commits to pass on after the open transaction.
        var made: [RecordedCall] = []
        var committed: [RunEvent] = []
        var array: RunArray?
        var mappings: [UserMapping] = []
    }

    /// With `isAtomic` the commits are followed, and not what the VMM asked for.
    package init(isAtomic: Bool, options: TraceImporter.Options) {
        self.isAtomic = isAtomic
        gapNanoseconds = options.gapNanoseconds
    }

    package static func name(of machine: Int, _ options: TraceImporter.Options) -> String {
        TraceAssembly.name(TraceAssembly.name(options.name), of: machine)
    }

    mutating func apply(_ record: RunRecord) -> [RunEvent] {
        switch record {
        case .machine(let machine): return add(machine)
        // Of a VM that is known, its slots are too.
        case .array(let array):
            let number = array.machine.number
            guard machines[number] == nil else { return [] }
            let events = add(array.machine)
            machines[number]?.array = array
            return events + completeArray(of: number)
        case .slot(let slot):
            machines[slot.machine]?.array?.append(slot)
            return completeArray(of: slot.machine)
        case .asked(let call): return isAtomic ? [] : apply(call)
        case .made(let call):
            if isAtomic { return apply(call) }
            machines[call.machine]?.made.append(call)
            let isFull = machines[call.machine]?.made.count == TransactionGrouping.longest
            // At once, so that no memory fills where no commit and no request comes.
            return isFull ? add(nil, of: call.machine) + passOn(call.machine) : []
        case .commit(let commit):
            guard isAtomic else { return add(commit, of: commit.machine) }
            machines[commit.machine]?.commits += 1
            return end(commit.machine, commit)
        case .entered(let thread):
            return machines.keys.sorted().flatMap { number in
                machines[number]?.builder.lastCall?.thread == thread ? end(number) : []
            }
        case .gone(let machine): return remove(machine)
        case .mapping(let mapping, let number):
            machines[number]?.mappings.append(mapping)
            return []
        case .fault(var fault):
            guard let number = fault.machine, let machine = machines[number] else { return [] }
            fault.mappings = machine.mappings
            machines[number]?.mappings = []
            let slots = machine.builder.table.slots
            return [.fault(ExplainedFailure(fault, of: number, under: slots))]
        case .table(var message):
            let number = message.machine
            guard let own = machines[number] else { return [] }
            // A file of records has numbers of its own.
            message.line = 0
            let finding = message.finding(under: own.builder.table.slots)
            return [.table(message)] + (finding.map { [.finding($0, machine: number)] } ?? [])
        case .changed(var change):
            change.line = 0
            return machines.keys.sorted().flatMap { number -> [RunEvent] in
                guard change.machine ?? number == number else { return [] }
                let slots = machines[number]?.builder.table.slots ?? []
                return slots.compactMap(change.finding).map { .finding($0, machine: number) }
            }
        }
    }

    /// Ends transactions whose pause is over at `now`. All records begun before that must be read.
    mutating func endPaused(at now: TraceTime) -> [RunEvent] {
        guard !isAtomic else { return [] }
        return machines.keys.sorted().flatMap { number -> [RunEvent] in
            guard let last = machines[number]?.builder.lastCall, last.runsBefore == 0,
                let time = last.end.latest, now.nanoseconds(since: time) > gapNanoseconds
            else { return [] }
            return end(number)
        }
    }

    var livingProcesses: Set<Int32> { Set(machines.values.map(\.process)) }

    mutating func processEnded(_ process: Int32) -> [RunEvent] {
        machines.filter { $0.value.process == process }.keys.sorted().flatMap { remove($0) }
    }

    mutating func finish() -> [RunEvent] { machines.keys.sorted().flatMap { endLast($0) } }

    private mutating func add(_ machine: RunMachine) -> [RunEvent] {
        machines[machine.number] = Machine(
            process: machine.process,
            builder: TransactionBuilder(
                grouping: TransactionGrouping(gapNanoseconds: gapNanoseconds),
                vcpus: KnownVCPUs(areAllShown: true, strayIsOwn: false)))
        return [.machine(machine)]
    }

    /// Begins with the array of a VM whose earlier records are lost, as one transaction.
    private mutating func completeArray(of number: Int) -> [RunEvent] {
        guard let array = machines[number]?.array, array.missing <= 0 else { return [] }
        machines[number]?.array = nil
        for call in array.start.array(of: array.slots, after: []) {
            _ = machines[number]?.builder.add(call, isRunner: false)
        }
        return end(number)
    }

    private mutating func apply(_ call: RecordedCall) -> [RunEvent] {
        guard machines[call.machine] != nil else { return [] }
        guard call.errno == nil else { return [.refused(call)] }
        start = start ?? call.time
        var call = call
        if isAtomic { call.commit = machines[call.machine]?.commits ?? 0 }
        let ended = machines[call.machine]?.builder.add(call, isRunner: call.runsBefore > 0).ended
        return ended.map { [.transaction(followed($0, nil))] + passOn(call.machine) } ?? []
    }

    private mutating func end(_ number: Int, _ commit: RunCommit? = nil) -> [RunEvent] {
        guard let ended = machines[number]?.builder.finish() else { return passOn(number) }
        return [.transaction(followed(ended, commit))] + passOn(number)
    }

    /// Adds a commit, which is passed on after the request that it is part of.
    private mutating func add(_ commit: RunCommit?, of number: Int) -> [RunEvent] {
        guard let made = machines[number]?.made else { return [] }
        machines[number]?.made = []
        machines[number]?.committed.append(.commit(commit, made: made, machine: number))
        return machines[number]?.builder.lastCall == nil ? passOn(number) : []
    }

    /// Ends what is open, with kernel calls after which no commit comes.
    private mutating func endLast(_ number: Int) -> [RunEvent] {
        let last = end(number)
        return machines[number]?.made.isEmpty == false ? last + add(nil, of: number) : last
    }

    private mutating func passOn(_ number: Int) -> [RunEvent] {
        defer { machines[number]?.committed = [] }
        return machines[number]?.committed ?? []
    }

    private mutating func remove(_ number: Int) -> [RunEvent] {
        let last = endLast(number)
        return machines.removeValue(forKey: number) == nil ? [] : last + [.gone(number)]
    }

    private mutating func followed(
        _ transaction: ImportedTransaction, _ commit: RunCommit?
    ) -> FollowedTransaction {
        let number = transaction.machine
        var operations: [SlotCall] = []
        for case let region? in transaction.calls.map(\.region) {
            operations += machines[number]?.table.apply(region).calls ?? []
        }
        // Calls that stand for an array took no time.
        let times = transaction.calls.map { $0.isOfArray ? 0 : $0.nanoseconds }
        let length = transaction.calls.last?.time.flatMap { end in
            transaction.time.map { end.nanoseconds(since: $0) }
        }
        return FollowedTransaction(
            transaction: transaction, operations: operations,
            slots: machines[number]?.table.slots ?? [], callNanoseconds: times.reduce(0, &+),
            nanoseconds: (times.first ?? 0) &+ (length ?? 0),
            at: transaction.time.flatMap { time in start.map { time.nanoseconds(since: $0) } } ?? 0,
            commit: commit)
    }
}

extension SlotChange {
    /// The change as calls: one, and a deletion for each slot whose deletion was not recorded.
    fileprivate var calls: [SlotCall] {
        if let reflagged { return [.reflag(from: reflagged.from, to: reflagged.to)] }
        if kind == .move, let from = removed.first, let added {
            return removed.dropFirst().map { .delete($0) } + [.move(from: from, to: added)]
        }
        return removed.map { .delete($0) } + (added.map { [.create($0)] } ?? [])
    }
}

package struct FollowedTransaction: Sendable {
    /// The transaction, with its VM's number in the run.
    package var transaction: ImportedTransaction
    package var operations: [SlotCall]
    /// The slots after it, ascending by address space and id.
    package var slots: [Memslot]
    package var callNanoseconds: UInt64
    /// From the start of the first call to the end of the last, in nanoseconds.
    package var nanoseconds: UInt64
    /// Its start, in nanoseconds since the end of the run's first call.
    package var at: UInt64
    package var commit: RunCommit?
}

package enum RunEvent: Sendable {
    case machine(RunMachine)
    case transaction(FollowedTransaction)
    /// A commit with its kernel calls, if the asked ones are followed; `nil` if none came after.
    case commit(RunCommit?, made: [RecordedCall], machine: Int)
    case refused(RecordedCall)
    case gone(Int)
    /// So many records were overwritten unread. All VMs are gone, and come back with whole arrays.
    case lost(Int)
    case fault(ExplainedFailure)
    /// User memory was unmapped or protected under a slot, or a memory table was sent early.
    case finding(Finding, machine: Int)
    case table(TableMessage)
}
