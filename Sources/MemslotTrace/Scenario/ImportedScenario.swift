public import Memslots

/// A log's transactions as whole arrays: what the VMM could have submitted in one go.
public struct ImportedScenario: Sendable {
    /// A VM of the scenario.
    public struct Machine: Hashable, Sendable {
        /// The name that the scenario gives it.
        public var name: String
        /// Where it stands in the log.
        public var traced: TracedMachine
        /// What its backend must offer.
        public var needs: BackendNeeds
    }

    /// The scenario's name.
    public var name: String
    /// What it was made of.
    public var source: String
    /// The VMs that had a successful slot call, in the order of their first.
    public var machines: [Machine]
    /// The transactions, in the order of their first calls.
    public var transactions: [ImportedTransaction]
    /// When the first call was, from which the comments' times count.
    public var startTime: TraceTime?

    /// Hands out the scenario's lines, without their ends.
    ///
    /// One array is kept a VM, however many transactions there are. Cost: the slots of every
    /// array, summed over all transactions.
    ///
    /// - Parameter body: is given each line.
    /// - Throws: what `body` throws.
    public func forEachLine<Failure: Error>(
        _ body: (String) throws(Failure) -> Void
    ) throws(Failure) {
        try body(ScenarioText.header(of: self))
        for machine in machines { try body(ScenarioText.creation(of: machine)) }
        var tables = machines.map { _ in SlotTable() }
        for transaction in transactions {
            for case let region? in transaction.calls.map(\.region) {
                _ = tables[transaction.machine].apply(region)
            }
            try body(ScenarioText.comment(of: transaction, since: startTime))
            try body(
                ScenarioText.submit(
                    tables[transaction.machine].slots, to: machines[transaction.machine].name,
                    of: transaction))
        }
    }

    /// The arrays that the VMs have in the end, each ascending by address space and id.
    public var finalSlots: [[Memslot]] {
        var tables = machines.map { _ in SlotTable() }
        for transaction in transactions {
            for case let region? in transaction.calls.map(\.region) {
                _ = tables[transaction.machine].apply(region)
            }
        }
        return tables.map(\.slots)
    }
}
