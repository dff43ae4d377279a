package import MemslotProtocol
package import MemslotSimulator
package import Memslots

extension VirtualMachine {
    /// Resolves the names of a request's array, and submits it. Throws also the error of `admit`,
    /// which the table calls.
    func submit(
        _ parameters: SubmitParameters,
        admit: (Generation, [Memslot], [GuestRange]) throws(ProtocolError) -> Void = { _, _, _ in }
    ) throws(ProtocolError) -> (receipt: Receipt, names: SlotNames) {
        try withResolved(parameters) { resolved, options throws(AdmissionError<ProtocolError>) in
            defer {
                dirty.settle(for: feed.published.table.slots)
                kernel.settle(for: feed.published.table)
                dirty.recordClearing()
            }
            var logs: BudgetCharge?
            defer { withExtendedLifetime(logs) {} }
            do throws(AdmissionError<ProtocolError>) {
                let receipt = try table.submit(
                    resolved.slots, options: options, prior: resolved.faults
                ) { generation, slots, ranges throws(ProtocolError) in
                    logs = try chargeDirty(for: slots, options, isPlan: false)
                    try admit(generation, slots, ranges)
                }
                dirty.settleFilling(false)
                return receipt
            } catch {
                dirty.settleFilling(error.mayFillLogs)
                throw error
            }
        }
    }

    /// Resolves the names of a request's array, and plans it.
    func plan(
        _ parameters: SubmitParameters
    ) throws(ProtocolError) -> (receipt: Receipt, names: SlotNames) {
        try withResolved(parameters) { resolved, options throws(AdmissionError<ProtocolError>) in
            let logs = try converting(
                { (error: ProtocolError) in AdmissionError.refused(error) },
                chargeDirty(for: resolved.slots, options, isPlan: true))
            defer { withExtendedLifetime(logs) {} }
            return try plan(resolved, options)
        }
    }

    private func plan(
        _ resolved: SlotResolver, _ options: SubmitOptions
    ) throws(AdmissionError<ProtocolError>) -> Receipt {
        try converting(
            { AdmissionError<ProtocolError>.notSubmitted($0) },
            table.plan(resolved.slots, options: options, prior: resolved.faults))
    }

    /// Resolves the names, and calls `body`, again where the array was changed meanwhile.
    ///
    /// An embedding process may change its table at any time, and unmap the memory of the slots: the
    /// names of such a VM are resolved by the present array, and committed on this array alone.
    private func withResolved(
        _ parameters: SubmitParameters,
        _ body: (SlotResolver, SubmitOptions) throws(AdmissionError<ProtocolError>) -> Receipt
    ) throws(ProtocolError) -> (receipt: Receipt, names: SlotNames) {
        var options = SubmitOptions(parameters)
        let expected = parameters.expectedGeneration
        while true {
            let present = memory.hasRawAddresses ? nil : table.snapshot()
            let names = memory.names
            var resolved = try SlotResolver(
                parameters.slots, names, present: present?.array.slots ?? [])
            resolved.checkSpaces(of: parameters.attributes ?? [])
            do throws(AdmissionError<ProtocolError>) {
                if let present {
                    if let expected, expected > present.generation {
                        // The plan reports what is wrong, first with the array. It commits nothing.
                        _ = try plan(resolved, SubmitOptions(parameters))
                        continue
                    }
                    // A generation never returns.
                    options.expectedGeneration = expected ?? present.generation
                }
                return (try body(resolved, options), names)
            } catch {
                if case .notSubmitted(.conflict) = error, expected == nil { continue }
                throw ProtocolError(error, slots: parameters.slots)
            }
        }
    }
}

extension ProtocolError {
    fileprivate init(_ error: AdmissionError<ProtocolError>, slots: [SlotParameters]) {
        switch error {
        case .refused(let error): self = error
        case .notSubmitted(let error): self.init(error, slots: slots)
        }
    }
}

extension SubmitOptions {
    fileprivate init(_ parameters: SubmitParameters) {
        self.init(
            expectedGeneration: parameters.expectedGeneration, quiesce: parameters.quiesce,
            quiesceDeadline: parameters.quiesceDeadline ?? SubmitOptions.defaultQuiesceDeadline)
        privateRanges = parameters.attributes?.map {
            GuestRange(address: $0.guestPhysicalAddress, size: $0.size)
        }
    }
}

/// A submit of a scenario with its names resolved, and the simulated VM that it is for.
package struct ResolvedSubmit: Sendable {
    package let table: MemslotTable
    package let simulator: SimulatedBackend
    /// The array, in request order; slots without an id have none yet.
    package let slots: [Memslot]
    package let quiesce: SubmitOptions.Quiesce
}

extension MemslotService {
    /// Resolves the names of a submit without executing it, so that it can be executed elsewhere.
    /// Returns `nil` if the submit would not reach a simulated VM's table.
    package func resolve(submit params: JSONValue?, of peer: Peer) -> ResolvedSubmit? {
        do throws(ProtocolError) {
            let parameters = try SubmitParameters(params)
            guard let vm = registry.withLock({ $0.vm(parameters.vm, of: peer) }),
                let simulator = vm.simulator
            else { return nil }
            let resolver = try SlotResolver(parameters.slots, vm.memory.names, present: [])
            guard resolver.faults.isEmpty else { return nil }
            return ResolvedSubmit(
                table: vm.table, simulator: simulator, slots: resolver.slots,
                quiesce: parameters.quiesce)
        } catch { return nil }
    }
}
