import CRunRecord
import MemslotProtocol
import MemslotScenario
import Memslots

/// The slot calls of a VMM under `memslotctl run`, with exact times.
package struct RunRecording: Sendable {
    /// The VMM's slot calls and their results, including failed ones, in the order of their effect.
    package private(set) var asked: [RunCall] = []
    /// The kernel calls that were made for it; empty without `--atomic`.
    package private(set) var made: [RunCall] = []
    /// The transactions; empty without `--atomic`.
    package private(set) var commits: [RunCommit] = []
    /// The thread that created each VM, in the order of creation.
    package private(set) var creators: [ThreadID] = []
    var header = crun_header()
    private var faults: [RunFault] = []
    private var changes: [MemoryChange] = []
    private var tables: [TableMessage] = []
    /// The mappings of a process, which come before its fault.
    private var mappings: [Int: [UserMapping]] = [:]
    /// The number of programs with the preload library.
    package var attached: Int { Int(header.attached) }
    /// The number of VMs and vCPUs that there was no room for.
    package var untracked: Int { Int(header.untracked) }
    /// The number of records that newer ones have overwritten: after the first, before the newest.
    package private(set) var lost = 0
    /// The arrays from which VMs are known again after that.
    private var arrays: [RunArray] = []
    private var resumed: Set<Int> = []
    /// The number of calls that had not returned when their process ended.
    package private(set) var unfinished = 0
    /// The number of the VMM's calls that succeeded, also of those that there was no room for.
    package private(set) var succeeded = 0
    /// The number of the VMM's calls that the kernel refused, also of those.
    package private(set) var refused = 0
    /// The number of kernel calls, also of those that there was no room for.
    package private(set) var madeCount = 0
    /// The number of transactions, also of those that there was no room for.
    package private(set) var commitCount = 0
    /// The number of calls that were made beside the guest, also of those.
    package var passed: UInt64 { header.passed }
    /// The number of holds that exceeded `--hold-budget-us`.
    package var pastBudget: Int { Int(clamping: header.past) }
    /// The longest hold of all transactions, in nanoseconds.
    package private(set) var longestHold: UInt64 = 0
    /// The number of calls that were reported as done and never applied: their VMM ended first.
    package var unapplied: UInt64 { header.deferred }
    /// Whether a VMM was stopped because the kernel refused a call that had been promised to it.
    package var wasStopped: Bool { header.stopped != 0 }
    /// Whether totals are known that records can't give; not in a file that was cut.
    var hasTotals: Bool { header.magic != 0 }
    /// The number of signals that made vCPUs leave the guest.
    package var kicks: UInt64 { header.kicks }
    /// The number of interruptions that the VMM saw because they might have been its own.
    package var shownKicks: UInt64 { header.shown }

    /// Reads the shared memory of a run whose processes have ended.
    ///
    /// - Parameter bytes: the memory; that of another version gives an empty recording.
    package init(_ bytes: UnsafeRawBufferPointer) {
        guard let records = RunRecords(bytes) else { return }
        header = records.header
        lost = Int(clamping: records.lost)
        var number = 0
        var index: UInt64 = 0
        while index < records.begun {
            if records.isLost(index) { index = records.oldestOfRing }
            number += 1
            add(
                RunRecord(records.read(index), number: number),
                isAfterLoss: records.lost > 0 && index >= records.room / 2)
            index += 1
        }
        complete()
    }

    /// An empty one, to which a file's records are added.
    package init() {}

    /// Computes the totals once all records are there.
    ///
    /// - Parameter creators: the thread that created each VM, where no record names it.
    mutating func complete(creators: [ThreadID] = []) {
        if !creators.isEmpty { self.creators = creators }
        succeeded = max(Int(clamping: header.succeeded), asked.count { $0.errno == nil })
        refused = max(Int(clamping: header.refused), asked.count { $0.errno != nil })
        commitCount = max(Int(clamping: header.commits), commits.count { $0.reason != .pass })
        madeCount = max(Int(clamping: header.made), made.count)
        longestHold = commits.reduce(header.longest_hold) {
            max($0, $1.hasWithheldEntry ? $1.heldNanoseconds : 0)
        }
    }

    mutating func add(_ record: RunRecord?, isAfterLoss: Bool = false) {
        if isAfterLoss, let record, let machine = record.machine, !resumed.contains(machine) {
            return resume(with: record)
        }
        switch record {
        case .machine(let machine): addCreator(of: machine)
        case .asked(let call): asked.append(call)
        case .made(let call): made.append(call)
        case .commit(let commit): commits.append(commit)
        case .fault(var fault):
            fault.mappings = mappings.removeValue(forKey: fault.machine ?? 0)
            faults.append(fault)
        case .mapping(let mapping, let machine): mappings[machine, default: []].append(mapping)
        case .changed(let change): changes.append(change)
        case .table(let message): tables.append(message)
        case .entered, .gone, .array, .slot: break
        case nil: unfinished += 1
        }
    }

    /// Counts records that are not there.
    mutating func addLost(_ count: UInt64) {
        lost = Int(clamping: UInt64(lost).addingSaturated(count))
    }

    /// Adds a record of a VM whose array is not known: records before it were lost.
    private mutating func resume(with record: RunRecord) {
        switch record {
        case .machine(let machine):
            addCreator(of: machine)
            resumed.insert(machine.number)
        case .array(let array):
            addCreator(of: array.machine)
            arrays.append(array)
        case .slot(let slot):
            if let index = arrays.lastIndex(where: { $0.machine.number == slot.machine }) {
                arrays[index].append(slot)
            }
        default: lost += 1
        }
        if let array = arrays.last(where: { $0.machine.number == record.machine }),
            array.missing <= 0
        {
            resumed.insert(array.machine.number)
        }
    }

    /// VMs of which not even this is known have no creator.
    private mutating func addCreator(of machine: RunMachine) {
        guard machine.number < 1 << 20 else { return }
        while creators.count <= machine.number { creators.append(.unnumbered) }
        creators[machine.number] = machine.thread
    }

    /// The VMM's calls as transactions: the scenario, and the holes between the calls.
    ///
    /// - Throws: if no call succeeded.
    package func imported(options: TraceImporter.Options) throws(TraceError) -> TraceImport {
        var log = log(of: asked)
        // Under `--atomic` the kernel's array decides what the guest had.
        if header.mode & CRUN_ATOMIC == 0 { log.tables = tables }
        return try TraceAssembly(log: log, options: options).assemble()
    }

    /// The kernel calls under `--atomic`: each commit is one transaction.
    ///
    /// - Throws: if there was no call.
    package func importedCommits(options: TraceImporter.Options) throws(TraceError) -> TraceImport {
        var log = log(of: made)
        log.tables = tables
        var marks: [Int: ArraySlice<Int>] = [:]
        for commit in commits { marks[commit.machine, default: []].append(commit.number) }
        var counts: [Int: Int] = [:]
        for index in log.calls.indices {
            let (machine, line) = (log.calls[index].machine, log.calls[index].line)
            while let next = marks[machine]?.first, next < line {
                marks[machine]?.removeFirst()
                counts[machine, default: 0] += 1
            }
            // Each commit is a transaction.
            if !log.calls[index].isOfArray { log.calls[index].commit = counts[machine] ?? 0 }
        }
        return try TraceAssembly(log: log, options: options).assemble()
    }

    private func log(of calls: [RunCall]) -> SlotCallLog {
        var log = SlotCallLog()
        log.machines = creators.map { TracedMachine(descriptor: -1, creator: $0, createdOnLine: 1) }
        log.counts.unfinishedCalls = unfinished
        log.isRecorded = true
        (log.runFaults, log.memoryChanges) = (faults, changes)
        var arrays = arrays.filter { $0.missing <= 0 }[...]
        var tables: [Int: SlotTable] = [:]
        func resume(before number: Int) {
            while let array = arrays.first, array.start.line < number {
                arrays.removeFirst()
                let machine = array.machine.number
                let calls = array.start.array(of: array.slots, after: tables[machine]?.slots ?? [])
                log.counts.slotCalls += calls.count
                log.calls += calls
            }
        }
        for call in calls where call.machine < log.machines.count {
            resume(before: call.number)
            if !arrays.isEmpty, call.errno == nil {
                _ = tables[call.machine, default: SlotTable()].apply(call.region)
            }
            log.counts.kinds[.record, default: 0] += 1
            if let errno = call.errno {
                log.add(
                    FailedCall(
                        line: call.number, thread: call.thread, machine: call.machine,
                        region: call.region, errno: errno.name, time: call.time))
                continue
            }
            log.counts.slotCalls += 1
            log.calls.append(RecordedCall(call))
        }
        resume(before: .max)
        log.counts.lines = calls.count
        log.counts.lostRecords = lost
        return log
    }

    /// The raw calls and their results, in the format of `memslot-lab conform`.
    ///
    /// - Parameter machine: the VM; conform has one VM per run.
    package func rawLines(of machine: Int) -> [UInt8] {
        var writer = JSONWriter()
        for call in asked where call.machine == machine {
            writer.rawCall(RawCallLine(.setRegion(call.region), expected: RawReply(call.errno)))
        }
        return writer.bytes
    }
}

extension RecordedCall {
    init(_ call: RunCall) {
        let presence = GuestPresence(
            entries: Int(clamping: call.entries), inside: Int(clamping: call.inside))
        self.init(
            line: call.number, thread: call.thread, time: call.end, machine: call.machine,
            region: call.region, begin: .exactly(call.time), end: .exactly(call.end),
            runsBefore: Int(clamping: call.runsBefore), atBegin: presence, atEnd: presence)
    }
}
