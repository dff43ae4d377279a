import MemslotProtocol
import Memslots

struct TraceAssembly {
    let log: SlotCallLog
    let options: TraceImporter.Options

    func assemble() throws(TraceError) -> TraceImport {
        try checkSlotCalls()
        var builders: [Int: TransactionBuilder] = [:]
        var order: [Int] = []
        var transactions: [ImportedTransaction] = []
        var surprises: [SurprisingCall] = []
        var surpriseCount = 0
        var failures = log.failures[...]
        var explained: [ExplainedFailure] = []
        var changes = log.memoryChanges[...]
        var tables = log.tables[...]
        var early: [(machine: Int, finding: Finding)] = []
        var runFaults = log.runFaults[...]
        var faults: [ExplainedFault] = []
        var found = log.findings
        func builder(of machine: Int) -> TransactionBuilder {
            if let known = builders[machine] { return known }
            order.append(machine)
            return TransactionBuilder(
                grouping: TransactionGrouping(
                    gapNanoseconds: options.gapNanoseconds, isCoarse: log.isCoarse),
                vcpus: log.vcpus(of: machine))
        }
        func explain(upTo line: Int) {
            while let failure = failures.first, failure.line <= line {
                failures.removeFirst()
                // Of a file that names no VM.
                guard log.machines.indices.contains(failure.machine) else { continue }
                let own = builder(of: failure.machine)
                builders[failure.machine] = own
                explained.append(
                    ExplainedFailure(
                        failure, array: options.array ?? own.table.slots,
                        isWhole: options.array != nil
                            || log.machines[failure.machine].createdOnLine != nil
                                && surpriseCount == 0
                    ))
            }
            while let change = changes.first, change.line <= line {
                changes.removeFirst()
                for (machine, own) in builders where change.machine ?? machine == machine {
                    found += own.table.slots.compactMap(change.finding).map { (machine, $0) }
                }
            }
            while let message = tables.first, message.line <= line {
                tables.removeFirst()
                // A VM without slots is none of the scenario.
                let slots = builders[message.machine]?.table.slots ?? []
                if surpriseCount == 0, let finding = message.finding(under: slots) {
                    early.append((message.machine, finding))
                }
            }
            while let fault = runFaults.first, fault.line <= line {
                runFaults.removeFirst()
                let own = builders.filter { fault.machine ?? $0.key == $0.key }
                faults.append(
                    ExplainedFault(
                        fault, of: fault.machine ?? order.first ?? 0,
                        under: own.values.flatMap(\.table.slots),
                        changes: found.suffix(8).filter { own[$0.machine] != nil }
                            .map { $0.finding.text + "." }))
            }
        }
        for call in log.calls {
            explain(upTo: call.line)
            var own = builder(of: call.machine)
            // Not shared while it grows.
            builders[call.machine] = nil
            let (ended, surprise) = own.add(call, isRunner: log.isRunner(call, among: log.runners))
            builders[call.machine] = own
            if let ended { transactions.append(ended) }
            guard let surprise else { continue }
            surpriseCount += 1
            if surprises.count < ImportReport.listedSurprises { surprises.append(surprise) }
        }
        explain(upTo: .max)
        for machine in order {
            if let ended = builders[machine]?.finish() { transactions.append(ended) }
        }
        transactions.sort { $0.line < $1.line }

        let places = Dictionary(
            uniqueKeysWithValues: order.enumerated().map { ($0.element, $0.offset) })
        func renumber(_ machine: inout Int) { machine = places[machine] ?? 0 }
        for index in transactions.indices { renumber(&transactions[index].machine) }
        for index in explained.indices { renumber(&explained[index].call.machine) }
        for index in faults.indices { renumber(&faults[index].machine) }
        let name = Self.name(log.scenario ?? options.name)
        let scenario = ImportedScenario(
            name: name, source: options.source ?? log.source ?? "imported from " + kind,
            machines: order.enumerated().map { place, machine in
                ImportedScenario.Machine(
                    // The VMs of a run get their names before their first slot call.
                    name: Self.name(name, of: log.isRecorded ? machine : place),
                    traced: log.machines[machine],
                    needs: log.machines[machine].limits ?? builders[machine]?.needs
                        ?? SimulatedParameters())
            }, transactions: transactions, startTime: log.calls.first?.time)
        return TraceImport(
            scenario: scenario,
            report: ImportReport(
                counts: log.counts, scenario: scenario,
                idleMachines: log.machines.count - order.count, surprises: surprises,
                surpriseCount: surpriseCount, failures: explained, runFaults: faults,
                memoryFindings: (early + found).map { (places[$0.machine] ?? 0, $0.finding) },
                removedBytes: order.reduce(0) {
                    $0.addingSaturated(builders[$1]?.engine.removedBytes ?? 0)
                }, hasTimes: log.calls.contains { $0.time != nil }, hasCoarseTimes: log.isCoarse,
                clockJumps: log.clockJumps, isRecorded: log.isRecorded))
    }

    private var kind: String {
        let kind = log.counts.kinds.max {
            ($0.value, $1.key.rawValue) < ($1.value, $0.key.rawValue)
        }?.key
        return kind == nil || kind == .strace ? "an strace log" : kind?.rawValue ?? ""
    }

    private func checkSlotCalls() throws(TraceError) {
        let counts = log.counts
        guard !counts.kinds.isEmpty || counts.cutCalls + counts.malformedCalls > 0 else {
            throw .noSlotCalls(lines: counts.lines)
        }
        guard counts.undecodedCalls > 0, counts.undecodedCalls == log.calls.count,
            let first = log.calls.first, !options.acceptsUndecoded
        else { return }
        throw .undecoded(count: counts.undecodedCalls, line: first.line)
    }

    /// The name of the VM with this number, from 0.
    static func name(_ name: String, of machine: Int) -> String {
        machine == 0 ? name : "\(name)-\(machine + 1)"
    }

    /// A valid VM name: at most 128 bytes including the number, no control characters, no `/`.
    static func name(_ wanted: String) -> String {
        var name = ""
        for scalar in wanted.unicodeScalars {
            let isForbidden = scalar == "/" || scalar.properties.generalCategory == .control
            let next: Unicode.Scalar = isForbidden ? "-" : scalar
            guard name.utf8.count + next.utf8.count <= 112 else { break }
            name.unicodeScalars.append(next)
        }
        return name.isEmpty ? "trace" : name
    }
}
