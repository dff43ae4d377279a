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

/// What a simulated backend must offer for a VM's slots, beyond its defaults.
package struct BackendNeeds: Hashable, Sendable {
    /// How many address spaces the slots are in; 1 by default.
    package var addressSpaces: UInt32 = 1
    /// One past the highest slot id; 32764 by default, which is enough on x86.
    package var maxSlots: UInt32 = Capabilities().maxSlots
    /// How many bits a guest physical address has; 52 by default.
    package var guestPhysicalBits: Int = Capabilities().guestPhysicalBits
    /// Where user space ends; by default as on x86-64 with four page-table levels.
    package var userspaceEnd: UserspaceAddress = Capabilities().userspaceEnd
    /// The flags; `log-dirty-pages` and `readonly` by default.
    package var flags: MemslotFlags = Capabilities().flags

    /// The defaults.
    package init() {}

    /// Makes room for `slot`.
    mutating func include(_ slot: Memslot) {
        addressSpaces = max(addressSpaces, slot.addressSpace.rawValue &+ 1)
        maxSlots = max(maxSlots, slot.assignedID.rawValue &+ 1)
        flags.formUnion(slot.flags)
        let last = slot.guestPhysicalEnd.rawValue &- 1
        guestPhysicalBits = max(guestPhysicalBits, UInt64.bitWidth - last.leadingZeroBitCount)
        if let end = slot.userspaceAddress.advanced(by: slot.size), end > userspaceEnd {
            userspaceEnd = Self.userspaceEnds.first { $0 >= end } ?? end
        }
    }

    /// arm64 with 48 and with 52 bits, x86-64 with five levels.
    private static let userspaceEnds: [UserspaceAddress] = [
        UserspaceAddress(rawValue: 1 << 48), UserspaceAddress(rawValue: 1 << 52),
        UserspaceAddress(rawValue: (1 << 56) - 4096),
    ]
}
