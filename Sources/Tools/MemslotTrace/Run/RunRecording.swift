import CRunRecord
import Memslots

/// What a VMM did to its slots under `memslotctl run`, with true times.
package struct RunRecording: Sendable {
    /// The VMM's slot calls as they were answered, failed ones too, in the order of their effect.
    package private(set) var asked: [RunCall] = []
    /// The calls that were made on the kernel for it; empty without `--atomic`.
    package private(set) var made: [RunCall] = []
    /// The transactions; empty without `--atomic`.
    package private(set) var commits: [RunCommit] = []
    /// Who made each VM, in the order of their making.
    package private(set) var creators: [ThreadID] = []
    /// Programs that the preload library was loaded into.
    package private(set) var attached = 0
    /// VMs, vCPUs and calls that there was no room for.
    package private(set) var lost = 0
    /// Calls that had not returned when their process ended.
    package private(set) var unfinished = 0
    /// Whether a VMM was stopped, because the kernel refused what it had been promised.
    package private(set) var wasStopped = false
    /// Signals that brought vCPUs out of the guest.
    package private(set) var kicks: UInt64 = 0
    /// Interruptions that the VMM was shown, because they might have been its own.
    package private(set) var shownKicks: UInt64 = 0

    /// Reads the shared memory of a run whose processes have ended.
    ///
    /// - Parameter bytes: the memory; what is no record of this version gives an empty recording.
    package init(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= MemoryLayout<crun_header>.size else { return }
        let header = bytes.loadUnaligned(as: crun_header.self)
        guard header.magic == crun_magic() else { return }
        attached = Int(header.attached)
        wasStopped = header.stopped != 0
        kicks = header.kicks
        shownKicks = header.shown
        let room = min(
            UInt64(CRUN_RECORD_LIMIT),
            UInt64(bytes.count - MemoryLayout<crun_header>.size)
                / UInt64(MemoryLayout<crun_record>.stride))
        // A program may have written any number there.
        let unkept = Int(clamping: header.next > room ? header.next - room : 0)
        lost =
            unkept.addingReportingOverflow(Int(header.untracked)).overflow
            ? .max : unkept + Int(header.untracked)
        for index in 0..<Int(min(room, header.next)) {
            let offset =
                MemoryLayout<crun_header>.size + index * MemoryLayout<crun_record>.stride
            let words = bytes.loadUnaligned(fromByteOffset: offset, as: crun_record.self)
            take(RunRecord(words, number: index + 1))
        }
    }

    private mutating func take(_ record: RunRecord?) {
        switch record {
        case .machine(_, let thread, _): creators.append(thread)
        case .asked(let call): asked.append(call)
        case .made(let call): made.append(call)
        case .commit(let commit): commits.append(commit)
        case .entered, .gone: break
        case nil: unfinished += 1
        }
    }

    /// The VMM's calls as transactions: the scenario, and the holes that they leave one by one.
    ///
    /// - Throws: where there is no call that succeeded.
    package func imported(options: TraceImporter.Options) throws(TraceError) -> TraceImport {
        try TraceAssembly(log: log(of: asked), options: options).assemble()
    }

    /// What the kernel saw under `--atomic`: each commit is one transaction.
    ///
    /// - Throws: where no call was made.
    package func importedCommits(options: TraceImporter.Options) throws(TraceError) -> TraceImport {
        var log = log(of: made)
        var marks: [Int: ArraySlice<Int>] = [:]
        for commit in commits { marks[commit.machine, default: []].append(commit.number) }
        var counts: [Int: Int] = [:]
        for index in log.calls.indices {
            let (machine, line) = (log.calls[index].machine, log.calls[index].line)
            while let next = marks[machine]?.first, next < line {
                marks[machine]?.removeFirst()
                counts[machine, default: 0] += 1
            }
            log.calls[index].isMarked(byCommits: counts[machine] ?? 0)
            log.runnersAnywhere.insert(log.calls[index].thread)
        }
        return try TraceAssembly(log: log, options: options).assemble()
    }

    private func log(of calls: [RunCall]) -> SlotCallLog {
        var log = SlotCallLog()
        log.machines = creators.map {
            TracedMachine(descriptor: -1, creator: $0, createdOnLine: 1)
        }
        log.counts.unfinishedCalls = unfinished
        log.isRecorded = true
        var reader = RunCallReader()
        for call in calls where call.machine < log.machines.count {
            if let errno = call.errno {
                log.counts.failedCalls[errno.name, default: 0] += 1
                continue
            }
            log.counts.slotCalls += 1
            log.calls.append(reader.read(call))
        }
        log.counts.lines = calls.count
        return log
    }
}

/// Turns the calls of a run, in order, into those that transactions are made of.
struct RunCallReader {
    private var previous: [Int: RunCall] = [:]

    /// Takes the next call that succeeded.
    mutating func read(_ call: RunCall) -> RecordedCall {
        let before = previous.updateValue(call, forKey: call.machine)
        let ran =
            call.inside > 0
            || before.map { $0.inside > 0 || call.entries > $0.entries } ?? false
        return RecordedCall(
            line: call.number, thread: call.thread, time: call.end, machine: call.machine,
            region: call.region, runsBefore: Int(clamping: call.runsBefore),
            guestWasRunning: ran)
    }
}

extension RecordedCall {
    /// As the number of a run the number of commits before it ends the transaction before, and no
    /// pause does.
    mutating func isMarked(byCommits count: Int) { runsBefore = count }
}
