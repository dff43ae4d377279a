import CRunRecord
import MemslotProtocol
import MemslotScenario
import Memslots

package struct RunRecording: Sendable {
    /// The VMM's slot calls and their results, including failed ones, in the order of their effect.
    package private(set) var asked: [RecordedCall] = []
    /// The kernel calls that were made for it, and the transactions; empty without `--atomic`.
    package private(set) var made: [RecordedCall] = []
    package private(set) var commits: [RunCommit] = []
    /// The thread that created each VM, in the order of creation.
    package internal(set) var creators: [ThreadID] = []
    var header = crun_header()
    private var faults: [RunFault] = []
    private var changes: [MemoryChange] = []
    private var tables: [TableMessage] = []
    /// The mappings of a process, which come before its fault.
    private var mappings: [Int: [UserMapping]] = [:]
    /// The number of records that newer ones have overwritten: after the first, before the newest.
    package private(set) var lost = 0
    /// The arrays from which VMs are known again after that.
    private var arrays: [RunArray] = []
    private var resumed: Set<Int> = []
    private var commitsOfMachine: [Int: Int] = [:]
    /// The number of calls that had not returned when their process ended.
    package private(set) var unfinished = 0
    package var attached: Int { Int(header.attached) }
    /// Whether a VMM was stopped because the kernel refused a call that had been promised to it.
    package var wasStopped: Bool { header.stopped != 0 }
    /// Whether totals are known that records can't give; not in a file that was cut.
    var hasTotals: Bool { header.magic != 0 }

    /// Reads the shared memory of a run whose processes have ended; empty for another version's.
    package init(_ bytes: UnsafeRawBufferPointer) {
        guard let records = RunRecords(bytes) else { return }
        header = records.header
        lost = Int(clamping: records.lost)
        for (place, index) in records.kept.enumerated() {
            let words = records.read(index)
            let isAfterLoss = records.lost > 0 && index >= records.room / 2
            add(
                RunRecord(words, number: place + 1),
                afterLossOf: isAfterLoss && words.kind != CRUN_ENTERED ? Int(words.vm) : nil)
        }
    }

    package init() {}

    /// The number of the VMM's calls that succeeded, also of those that there was no room for.
    package var succeeded: Int {
        max(Int(clamping: header.succeeded), asked.count { $0.errno == nil })
    }

    /// The number of the VMM's calls that the kernel refused, of kernel calls and of transactions.
    var refused: Int { max(Int(clamping: header.refused), asked.count { $0.errno != nil }) }
    var madeCount: Int { max(Int(clamping: header.made), made.count) }
    var commitCount: Int {
        max(Int(clamping: header.commits), commits.count { $0.reason != .pass })
    }

    var longestHold: UInt64 {
        commits.lazy.filter(\.hasWithheldEntry).map(\.heldNanoseconds)
            .reduce(header.longest_hold, max)
    }

    /// - Parameter machine: the VM of a record after a loss.
    mutating func add(_ record: RunRecord?, afterLossOf machine: Int? = nil) {
        if let machine, let record, !resumed.contains(machine) {
            return resume(machine, with: record)
        }
        switch record {
        case .machine(let machine): addCreator(of: machine)
        case .asked(let call): asked.append(call)
        case .made(var call):
            call.commit = commitsOfMachine[call.machine, default: 0]
            made.append(call)
        case .commit(let commit):
            commitsOfMachine[commit.machine, default: 0] += 1
            commits.append(commit)
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

    mutating func addLost(_ count: UInt64) {
        lost = Int(clamping: UInt64(lost).addingSaturated(count))
    }

    /// Adds a record of a VM whose array is not known: records before it were lost.
    private mutating func resume(_ machine: Int, with record: RunRecord) {
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
        let array = arrays.last { $0.machine.number == machine }
        if let array, array.missing <= 0 { resumed.insert(machine) }
    }

    /// VMs of which not even this is known have no creator.
    private mutating func addCreator(of machine: RunMachine) {
        guard machine.number < 1 << 20 else { return }
        while creators.count <= machine.number { creators.append(.unnumbered) }
        creators[machine.number] = machine.thread
    }

    /// The VMM's calls as transactions, and the holes between the calls. Throws if none succeeded.
    package func imported(options: TraceImporter.Options) throws(TraceError) -> TraceImport {
        var log = log(of: asked)
        // Under `--atomic` the kernel's array decides what the guest had.
        if header.mode & CRUN_ATOMIC == 0 { log.tables = tables }
        return try TraceAssembly(log: log, options: options).assemble()
    }

    /// The kernel calls under `--atomic`: each commit is one transaction. Throws if there was none.
    package func importedCommits(options: TraceImporter.Options) throws(TraceError) -> TraceImport {
        var log = log(of: made)
        log.tables = tables
        return try TraceAssembly(log: log, options: options).assemble()
    }

    private func log(of calls: [RecordedCall]) -> SlotCallLog {
        var log = SlotCallLog()
        log.machines = creators.map { TracedMachine(descriptor: -1, creator: $0, createdOnLine: 1) }
        log.counts[.unfinishedCalls] = unfinished
        log.isRecorded = true
        (log.runFaults, log.memoryChanges) = (faults, changes)
        var arrays = arrays.filter { $0.missing <= 0 }[...]
        var tables: [Int: SlotTable] = [:]
        func resume(before number: Int) {
            while let array = arrays.first, array.start.line < number {
                arrays.removeFirst()
                let machine = array.machine.number
                let calls = array.start.array(of: array.slots, after: tables[machine]?.slots ?? [])
                for call in calls { log.add(call) }
            }
        }
        for call in calls where call.machine < log.machines.count {
            resume(before: call.line)
            if !arrays.isEmpty, call.errno == nil, let region = call.region {
                _ = tables[call.machine, default: SlotTable()].apply(region)
            }
            log.counts.kinds[.record, default: 0] += 1
            log.add(call)
        }
        resume(before: .max)
        log.counts[.lines] = calls.count
        log.counts[.lostRecords] = lost
        return log
    }

    /// The raw calls and their results, in the format of `memslot-lab conform`, which has one VM.
    package func rawLines(of machine: Int) -> [UInt8] {
        var writer = JSONWriter()
        for call in asked where call.machine == machine {
            guard let region = call.region else { continue }
            let errno = call.errno.map { Errno(name: $0) ?? Errno(rawValue: Int32($0) ?? 0) }
            writer.rawCall(RawCallLine(.setRegion(region), expected: RawReply(errno)))
        }
        return writer.bytes
    }
}
