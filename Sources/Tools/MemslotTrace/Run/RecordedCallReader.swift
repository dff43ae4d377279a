import MemslotProtocol
import MemslotScenario
import Memslots

/// Reads a scenario back as calls: recorded ones, or the changes between whole arrays.
struct RecordedCallReader {
    private var log = SlotCallLog()
    /// What a run with `--atomic` had beside the VMM's calls; `nil` for another scenario.
    private(set) var run: RunRecording?
    private var machines: [Name: Int] = [:]
    private var tables: [Int: SlotTable] = [:]
    /// The recorded calls before the next submit that did not fail; `nil` for unreadable ones.
    private var pending: [RecordedCall?] = []
    private var thread = ThreadID.unnumbered
    private var runsBefore = 0
    private var number = 0
    /// The number of the last commit or kernel call.
    private var runNumber = 0

    /// Throws the first line that is no line of a scenario.
    mutating func read(_ bytes: [UInt8]) throws(UnusableInput) -> SlotCallLog {
        var lines = LineReader(bytes: bytes)
        log.isRecorded = true
        while let line = try lines.next() {
            if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) { continue }
            log.counts[.lines] = lines.lineNumber
            let value: JSONValue
            do throws(UnusableInput) {
                value = try JSONValue(line: line, number: lines.lineNumber)
            } catch {
                // A record whose writer was killed ends in the middle of a line.
                guard lines.lineNumber > 1, lines.lineNumber > bytes.count(where: { $0 == 0x0a })
                else { throw error }
                log.counts.endsMidCall = true
                log.counts[.unfinishedCalls] += 1
                break
            }
            guard value.kind == .object else {
                throw UnusableInput(
                    line: lines.lineNumber,
                    message: "expected a line of a scenario; found \(value.kind). memslotctl map "
                        + "draws an array, and memslotctl plan compares two")
            }
            if let name = value["scenario"]?.string { log.scenario = log.scenario ?? name }
            if let source = value["source"]?.string, log.source == nil {
                log.source = source
                if source.hasPrefix(RunRecording.atomicSource) { run = RunRecording() }
            }
            if value["comment"] != nil { remark(value) }
            if let params = value["params"] { request(value["method"]?.string, params) }
        }
        // Calls whose submit is cut off.
        log.counts[.unfinishedCalls] += pending.count
        if !pending.isEmpty { log.counts.kinds[.record, default: 0] += 1 }
        run?.creators = log.machines.map(\.creator)
        // Of a version that wrote no commits.
        if run?.commits.isEmpty == true, run?.hasTotals == false { run = nil }
        return log
    }

    private mutating func remark(_ value: JSONValue) {
        if let text = value["runFault"]?.string, log.runFaults.count < SlotCallLog.failureLimit {
            log.runFaults.append(RunFault(line: number, text: text))
        }
        if let totals = value["totals"] { run?.readTotals(totals) }
        if let lost = value["lostRecords"]?.uint64 {
            let before = UInt64(log.counts[.lostRecords])
            log.counts[.lostRecords] = Int(clamping: before.addingSaturated(lost))
            run?.addLost(lost)
        }
        if let finding = value["finding"], let text = finding["text"]?.string,
            let vm = value["vm"]?.string, log.findings.count < MemoryChange.limit
        {
            let kind = finding["kind"]?.string.flatMap(Finding.Kind.init) ?? .userMemory
            let space = UInt32(clamping: finding["addressSpace"]?.uint64 ?? 0)
            let found = Finding(
                kind, .error, text, addressSpace: AddressSpaceID(space),
                range: finding.number("start").map { $0..<max($0, finding.number("end") ?? 0) })
            log.findings.append((machine(vm), found))
        }
        if let commit = value["commit"], let vm = value["vm"]?.string {
            add(commit, of: machine(vm))
        }
        guard let calls = value["calls"]?.elements else { return }
        thread = ThreadID(rawValue: UInt32(clamping: value["thread"]?.uint64 ?? 0))
        runsBefore = value["runsBefore"]?.int ?? 0
        for value in calls {
            number += 1
            let call = RecordedCall(
                recorded: value, number: number, machine: 0, thread: thread, runsBefore: runsBefore)
            if let call, call.errno != nil {
                log.add(call)
            } else {
                pending.append(call)
                if call != nil, value["entries"] == nil { log.hasEntries = false }
            }
        }
    }

    private mutating func request(_ method: String?, _ params: JSONValue) {
        guard let vm = params["vm"]?.string else { return }
        let machine = machine(vm)
        if method == Method.vmCreate.rawValue, let value = params["simulated"],
            let limits = try? ParameterReader.read(value, line: 0, as: SimulatedParameters.self)
        {
            log.machines[machine].limits = limits
        }
        guard method == Method.memslotsSubmit.rawValue else { return }
        log.counts.kinds[.record, default: 0] += 1
        if pending.isEmpty { return array(params, of: machine) }
        for case var call? in pending {
            call.machine = machine
            if add(call) { run?.add(.asked(call)) }
        }
        log.counts[.malformedCalls] += pending.count { $0 == nil }
        pending = []
    }

    /// Adds a call that succeeded; returns whether it is kept.
    @discardableResult private mutating func add(_ call: RecordedCall) -> Bool {
        guard log.add(call) else { return false }
        if let region = call.region { _ = tables[call.machine, default: SlotTable()].apply(region) }
        return true
    }

    /// A commit and its kernel calls, which have numbers of their own.
    private mutating func add(_ commit: JSONValue, of machine: Int) {
        guard var run else { return }
        // Not shared while it grows.
        self.run = nil
        let thread = ThreadID(rawValue: UInt32(clamping: commit["thread"]?.uint64 ?? 0))
        for call in commit["calls"].map({ Array($0.elements) }) ?? [] {
            runNumber += 1
            let made = RecordedCall(
                recorded: call, number: runNumber, machine: machine, thread: thread, runsBefore: 0)
            if let made, run.made.count < SlotCallLog.limit {
                run.add(.made(made))
            } else {
                run.addLost(1)
            }
        }
        runNumber += 1
        let recorded = RunCommit(
            recorded: commit, number: runNumber, machine: machine, thread: thread)
        if let recorded, run.commits.count < SlotCallLog.limit {
            run.add(.commit(recorded))
        } else if recorded != nil {
            run.addLost(1)
        }
        self.run = run
    }

    /// A submit without recorded calls: the calls that change the array before to this one.
    private mutating func array(_ params: JSONValue, of machine: Int) {
        guard let file = try? ArrayFile(Array(params.rawBytes)) else { return }
        var names: [Name: UInt32] = [:]
        let wanted = file.slots.compactMap { Memslot(scenario: $0, &names) }
        number += 1
        let start = RecordedCall(line: number, thread: thread, machine: machine)
        let calls = start.array(
            of: wanted.map { RawRegion($0, size: $0.size) }, after: tables[machine]?.slots ?? [])
        for call in calls { add(call) }
        log.counts[.arrays] += 1
        log.hasEntries = false
    }

    private mutating func machine(_ vm: String) -> Int {
        let name = Name(vm)
        if let known = machines[name] { return known }
        let index = log.machines.count
        machines[name] = index
        log.machines.append(TracedMachine(descriptor: -1, creator: thread, createdOnLine: 1))
        return index
    }
}

extension Memslot {
    /// A slot of a scenario; `nil` without an id. Memory objects get addresses far from each other.
    fileprivate init?(scenario slot: SlotParameters, _ names: inout [Name: UInt32]) {
        guard let id = slot.slot.flatMap({ UInt32(exactly: $0) }), id <= 0xffff,
            let space = UInt32(exactly: slot.addressSpace), space <= 0xffff
        else { return nil }
        var user = slot.userspaceAddress?.rawValue ?? 0
        if let memory = slot.memory.map({ Name($0) }) {
            let number = names[memory] ?? UInt32(names.count + 1)
            names[memory] = number
            user = (1 << 45) &+ UInt64(number) << 40 &+ (slot.memoryOffset?.rawValue ?? 0)
        }
        self.init(
            id: SlotID(id), addressSpace: AddressSpaceID(space),
            guestPhysicalAddress: slot.guestPhysicalAddress, size: slot.size,
            userspaceAddress: UserspaceAddress(user), flags: slot.flags)
    }
}
