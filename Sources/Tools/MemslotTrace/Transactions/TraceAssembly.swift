import MemslotProtocol
import Memslots

struct TraceAssembly {
    let log: SlotCallLog
    let options: TraceImporter.Options

    func assemble() throws(TraceError) -> TraceImport {
        try checkSlotCalls()
        // The VMs in the order of their first call, and the place of each.
        var order: [Int] = []
        var builders: [TransactionBuilder] = []
        var places: [Int: Int] = [:]
        var transactions: [ImportedTransaction] = []
        var surprises: [SurprisingCall] = []
        var surpriseCount = 0
        var failures = log.failures[...]
        var explained: [ExplainedFailure] = []
        var changes = log.memoryChanges[...]
        var tables = log.tables[...]
        var early: [(machine: Int, finding: Finding)] = []
        var runFaults = log.runFaults[...]
        var faults: [ExplainedFailure] = []
        var found = log.findings
        func place(of machine: Int) -> Int {
            if let known = places[machine] { return known }
            places[machine] = order.count
            order.append(machine)
            let grouping = TransactionGrouping(
                gapNanoseconds: options.gapNanoseconds, isCoarse: log.isCoarse)
            builders.append(TransactionBuilder(grouping: grouping, vcpus: log.vcpus(of: machine)))
            return order.count - 1
        }
        func explain(upTo line: Int) {
            while let failure = failures.first, failure.line <= line {
                failures.removeFirst()
                // Of a file that names no VM.
                guard log.machines.indices.contains(failure.machine) else { continue }
                let slots = builders[place(of: failure.machine)].table.slots
                explained.append(
                    ExplainedFailure(
                        failure, array: options.array ?? slots,
                        isWhole: options.array != nil
                            || log.machines[failure.machine].createdOnLine != nil
                                && surpriseCount == 0
                    ))
            }
            while let change = changes.first, change.line <= line {
                changes.removeFirst()
                for (machine, own) in zip(order, builders)
                where change.machine ?? machine == machine {
                    found += own.table.slots.compactMap(change.finding).map { (machine, $0) }
                }
            }
            while let message = tables.first, message.line <= line {
                tables.removeFirst()
                // A VM without slots is none of the scenario.
                let slots = places[message.machine].map { builders[$0].table.slots } ?? []
                if surpriseCount == 0, let finding = message.finding(under: slots) {
                    early.append((message.machine, finding))
                }
            }
            while let fault = runFaults.first, fault.line <= line {
                runFaults.removeFirst()
                let own = order.filter { fault.machine ?? $0 == $0 }
                faults.append(
                    ExplainedFailure(
                        fault, of: fault.machine ?? order.first ?? 0,
                        under: own.flatMap { builders[place(of: $0)].table.slots },
                        changes: found.suffix(8).filter { own.contains($0.machine) }
                            .map { $0.finding.text + "." }))
            }
        }
        for call in log.calls {
            explain(upTo: call.line)
            let (ended, surprise) = builders[place(of: call.machine)].add(
                call, isRunner: log.isRunner(call))
            if let ended { transactions.append(ended) }
            guard let surprise else { continue }
            surpriseCount += 1
            if surprises.count < ImportReport.listedSurprises { surprises.append(surprise) }
        }
        explain(upTo: .max)
        for place in builders.indices {
            if let ended = builders[place].finish() { transactions.append(ended) }
        }
        transactions.sort { $0.line < $1.line }

        func renumber(_ machine: inout Int) { machine = places[machine] ?? 0 }
        for index in transactions.indices { renumber(&transactions[index].machine) }
        for index in explained.indices { renumber(&explained[index].call.machine) }
        for index in faults.indices { renumber(&faults[index].call.machine) }
        let name = Self.name(log.scenario ?? options.name)
        let scenario = ImportedScenario(
            name: name, source: options.source ?? log.source ?? "imported from " + kind,
            machines: order.enumerated().map { place, machine in
                ImportedScenario.Machine(
                    // The VMs of a run get their names before their first slot call.
                    name: Self.name(name, of: log.isRecorded ? machine : place),
                    traced: log.machines[machine],
                    needs: log.machines[machine].limits ?? builders[place].needs)
            }, transactions: transactions, startTime: log.calls.first?.time)
        return TraceImport(
            report: ImportReport(
                counts: log.counts, scenario: scenario,
                idleMachines: log.machines.count - order.count, surprises: surprises,
                surpriseCount: surpriseCount, failures: explained, runFaults: faults,
                memoryFindings: (early + found).map { (places[$0.machine] ?? 0, $0.finding) },
                removedBytes: builders.reduce(0) { $0.addingSaturated($1.engine.removedBytes) },
                hasTimes: log.calls.contains { $0.time != nil }, hasCoarseTimes: log.isCoarse,
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
        guard !counts.kinds.isEmpty || counts[.cutCalls] + counts[.malformedCalls] > 0 else {
            throw .noSlotCalls(lines: counts[.lines])
        }
        guard counts[.undecodedCalls] > 0, counts[.undecodedCalls] == log.calls.count,
            let first = log.calls.first, !options.acceptsUndecoded
        else { return }
        throw .undecoded(count: counts[.undecodedCalls], line: first.line)
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
