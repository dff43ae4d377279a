internal import MemslotProtocol
internal import Memslots

extension VirtualMachine {
    /// Submits the array of a request, its names resolved.
    ///
    /// - Parameter objection: as of the table's.
    func submit(
        _ parameters: SubmitParameters,
        unless objection: (Generation, [Memslot]) -> String? = { _, _ in nil }
    ) throws(ProtocolError) -> (receipt: Receipt, names: SlotNames) {
        try withResolved(parameters) { resolved, options throws(SubmitError) in
            try table.submit(
                resolved.slots, options: options, prior: resolved.faults, unless: objection)
        }
    }

    /// Plans the array of a request, its names resolved.
    func plan(
        _ parameters: SubmitParameters
    ) throws(ProtocolError) -> (receipt: Receipt, names: SlotNames) {
        try withResolved(parameters) { resolved, options throws(SubmitError) in
            try table.plan(resolved.slots, options: options, prior: resolved.faults)
        }
    }

    private func withResolved(
        _ parameters: SubmitParameters,
        _ body: (SlotResolver, SubmitOptions) throws(SubmitError) -> Receipt
    ) throws(ProtocolError) -> (receipt: Receipt, names: SlotNames) {
        guard !memory.hasRawAddresses else {
            let names = memory.names
            let resolved = try SlotResolver(parameters.slots, names, present: [])
            return (
                try answer(parameters) { () throws(SubmitError) in
                    try body(resolved, SubmitOptions(parameters))
                }, names
            )
        }
        return try withPresent(parameters, body)
    }

    /// Resolves by what the table has now, and commits on nothing else: an embedding process may
    /// change its table meanwhile, and unmap what the slots stood for.
    private func withPresent(
        _ parameters: SubmitParameters,
        _ body: (SlotResolver, SubmitOptions) throws(SubmitError) -> Receipt
    ) throws(ProtocolError) -> (receipt: Receipt, names: SlotNames) {
        var options = SubmitOptions(parameters)
        while true {
            let present = table.snapshot()
            let names = memory.names
            let resolved = try SlotResolver(
                parameters.slots, names, present: present.array.slots)
            let expected = parameters.expectedGeneration
            if let expected, expected > present.generation {
                // Only to say what is wrong, first with the array; never to commit.
                _ = try answer(parameters) { () throws(SubmitError) in
                    try table.plan(
                        resolved.slots, options: SubmitOptions(parameters),
                        prior: resolved.faults)
                }
                continue
            }
            // A generation that has passed never comes back.
            options.expectedGeneration = expected ?? present.generation
            do throws(SubmitError) {
                return (try body(resolved, options), names)
            } catch {
                if case .conflict = error, expected == nil { continue }
                throw ProtocolError(error, slots: parameters.slots)
            }
        }
    }

    private func answer(
        _ parameters: SubmitParameters, _ body: () throws(SubmitError) -> Receipt
    ) throws(ProtocolError) -> Receipt {
        do throws(SubmitError) { return try body() } catch {
            throw ProtocolError(error, slots: parameters.slots)
        }
    }
}

extension SubmitOptions {
    fileprivate init(_ parameters: SubmitParameters) {
        self.init(
            expectedGeneration: parameters.expectedGeneration, quiesce: parameters.quiesce,
            quiesceDeadlineMilliseconds: parameters.quiesceDeadlineMilliseconds
                ?? SubmitOptions.defaultDeadlineMilliseconds)
    }
}
