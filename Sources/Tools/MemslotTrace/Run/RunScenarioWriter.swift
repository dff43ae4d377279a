import MemslotProtocol
import MemslotScenario
import Memslots

/// The scenario of a run, line by line while it lasts, with the calls before each request.
package struct RunScenarioWriter {
    private struct Machine {
        var machine: ImportedScenario.Machine
        var generation: Generation?
        var slots: [Memslot] = []
    }

    private let options: TraceImporter.Options
    private var machines: [Int: Machine] = [:]
    private var start: TraceTime?
    private var writer = JSONWriter()

    package init(_ options: TraceImporter.Options) { self.options = options }

    package mutating func header() -> [UInt8] {
        writer.header(
            of: ImportedScenario(
                name: TraceAssembly.name(options.name),
                source: options.source ?? "recorded by memslotctl run", machines: [],
                transactions: []))
        return finish()
    }

    /// The lines of an event; none if it is not part of a scenario.
    package mutating func lines(of event: RunEvent) -> [UInt8] {
        switch event {
        case .machine(let machine):
            // One that comes back after a loss was created in the scenario before.
            guard machines[machine.number] == nil else { break }
            machines[machine.number] = Machine(
                machine: ImportedScenario.Machine(
                    name: RunFollower.name(of: machine.number, options),
                    traced: TracedMachine(
                        descriptor: -1, creator: machine.thread, createdOnLine: 1),
                    needs: machine.needs))
        case .transaction(let followed): add(followed)
        case .commit(let commit, let made, let machine): add(commit, made, of: machine)
        case .finding(let finding, let number):
            guard let name = machines[number]?.machine.name else { break }
            let isTable = finding.kind == .earlyTable
            writer.line {
                $0.member(
                    "comment", isTable ? "it was early" : "user memory under a slot was changed")
                $0.member("vm", name)
                $0.object("finding") {
                    if isTable { $0.member("kind", finding.kind.rawValue) }
                    $0.member("text", finding.text)
                    $0.member("addressSpace", UInt64(finding.addressSpace.rawValue))
                    $0.member("start", address: finding.range?.lowerBound)
                    $0.member("end", address: finding.range?.upperBound)
                }
            }
        case .refused(let call):
            let since = origin(call.begin.earliest)
            writer.line {
                $0.member("comment", "refused: \(call.errno ?? "")")
                $0.member("thread", UInt64(call.thread.rawValue))
                $0.list("calls", [call]) { $0.recorded($1, since: since) }
            }
        case .fault(let fault):
            writer.line {
                $0.member("comment", "KVM_RUN: EFAULT")
                $0.member("thread", UInt64(fault.call.thread.rawValue))
                $0.member("runFault", fault.explanation.description)
            }
        case .table(let message):
            writer.line {
                $0.member("comment", "\(message.name) sent to \(message.target)")
                $0.member("thread", UInt64(message.thread.rawValue))
                $0.member("vm", RunFollower.name(of: message.machine, options))
                $0.member("guest_phys_addr", address: message.guestAddress)
                $0.member("memory_size", address: message.size)
            }
        case .lost(let count):
            writer.line {
                $0.member("comment", "\(counted(count, "record")) not kept; whole arrays follow")
                $0.member("lostRecords", count)
            }
        case .gone: break
        }
        return finish()
    }

    package mutating func end(_ recording: RunRecording) -> [UInt8] {
        writer.line {
            $0.member("comment", "the run has ended")
            $0.object("totals") { $0.totals(recording) }
        }
        return finish()
    }

    /// The time from which all others are counted: of the first call, or of an earlier hold.
    private mutating func origin(_ time: TraceTime?) -> TraceTime {
        start = start ?? time
        return start ?? 0
    }

    private mutating func add(_ commit: RunCommit?, _ made: [RecordedCall], of number: Int) {
        guard let name = machines[number]?.machine.name else { return }
        let since = origin(commit?.heldSince ?? made.first?.begin.earliest)
        writer.line {
            $0.member("comment", "committed: \(commit.map { $0.reason?.text ?? "?" } ?? "not yet")")
            $0.member("vm", name)
            $0.object("commit") {
                $0.member("thread", UInt64((commit?.thread ?? made.first?.thread)?.rawValue ?? 0))
                if let commit {
                    $0.member("at", commit.heldSince.nanoseconds(since: since))
                    $0.members(of: commit)
                }
                $0.list("calls", made) { $0.recorded($1, since: since) }
            }
        }
    }

    private mutating func finish() -> [UInt8] {
        defer { writer.removeAll() }
        return writer.bytes
    }

    private mutating func add(_ followed: FollowedTransaction) {
        var transaction = followed.transaction
        guard var own = machines[transaction.machine] else { return }
        let since = origin(transaction.calls.first?.begin.earliest)
        if own.generation == nil {
            // What it begins with may be more than its host offers only if the record is damaged.
            followed.slots.forEach { own.machine.needs.include($0) }
            writer.creation(of: own.machine)
        }
        // By this file: after a loss an array may be the one before.
        let isChanged = own.slots != followed.slots
        let generation = own.generation ?? Generation(rawValue: 0)
        transaction.outcome = isChanged ? .committed : .unchanged
        transaction.generation = isChanged ? generation.next : generation
        (own.generation, own.slots) = (transaction.generation, followed.slots)
        machines[transaction.machine] = own
        let isKnown = !transaction.calls.contains(where: \.isOfArray)
        writer.line {
            $0.member("comment", "at \(transaction.time?.seconds(since: since) ?? "0 s")")
            $0.member("recordedOperations", transaction.calls.count)
            $0.member("thread", UInt64(transaction.thread.rawValue))
            $0.member("runsBefore", transaction.calls.first?.runsBefore ?? 0)
            guard isKnown else { return }
            $0.list("calls", transaction.calls) { $0.recorded($1, since: since) }
        }
        writer.submission(of: followed.slots, to: own.machine.name, by: transaction)
    }
}

extension JSONWriter {
    fileprivate mutating func recorded(_ call: RecordedCall, since start: TraceTime) {
        guard let region = call.region, let begin = call.begin.earliest else { return }
        beginObject()
        member("at", begin.nanoseconds(since: start))
        member("nanoseconds", call.time?.nanoseconds(since: begin) ?? 0)
        members(of: region)
        if case .file(let index) = region.guestMemfd {
            member("guest_memfd", UInt64(index))
            member("guest_memfd_offset", address: region.guestMemfdOffset)
        }
        member(errno: call.errno)
        member("inside", UInt64(clamping: call.atBegin.inside))
        member("entries", UInt64(clamping: call.atBegin.entries))
        endObject()
    }
}
