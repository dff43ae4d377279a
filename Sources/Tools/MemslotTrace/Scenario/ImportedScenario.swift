import MemslotProtocol
package import Memslots

/// A log's transactions as whole arrays: what the VMM could have submitted in one go.
package struct ImportedScenario: Sendable {
    /// A VM of the scenario.
    package struct Machine: Hashable, Sendable {
        /// The name that the scenario gives it.
        package var name: String
        /// Where it stands in the log.
        package var traced: TracedMachine
        /// What its backend must offer.
        package var needs: BackendNeeds
    }

    /// The scenario's name.
    package var name: String
    /// What it was made of.
    package var source: String
    /// The VMs that had a successful slot call, in the order of their first.
    package var machines: [Machine]
    /// The transactions, in the order of their first calls.
    package var transactions: [ImportedTransaction]
    /// When the first call was, from which the comments' times count.
    package var startTime: TraceTime?

    /// Hands out the scenario's lines, as JSON in UTF-8, each with the newline at its end.
    ///
    /// One array is kept a VM, and one line, however many transactions there are. Cost: the slots
    /// of every array, summed over all transactions.
    ///
    /// - Parameter body: is given the bytes of each line.
    /// - Throws: what `body` throws.
    package func forEachLine<Failure: Error>(
        _ body: ([UInt8]) throws(Failure) -> Void
    ) throws(Failure) {
        // One for all lines, so that its room is made once.
        var writer = JSONWriter()
        func handOut() throws(Failure) {
            try body(writer.bytes)
            writer.removeAll()
        }
        writer.header(of: self)
        try handOut()
        for machine in machines {
            writer.creation(of: machine)
            try handOut()
        }
        var tables = machines.map { _ in SlotTable() }
        for transaction in transactions {
            for case let region? in transaction.calls.map(\.region) {
                _ = tables[transaction.machine].apply(region)
            }
            writer.comment(of: transaction, since: startTime)
            try handOut()
            writer.submission(
                of: tables[transaction.machine].slots, to: machines[transaction.machine].name,
                by: transaction)
            try handOut()
        }
    }

    /// The arrays that the VMs have in the end, each ascending by address space and id.
    package var finalSlots: [[Memslot]] {
        var tables = machines.map { _ in SlotTable() }
        for transaction in transactions {
            for case let region? in transaction.calls.map(\.region) {
                _ = tables[transaction.machine].apply(region)
            }
        }
        return tables.map(\.slots)
    }
}
