import MemslotProtocol
import MemslotScenario
package import Memslots

/// A log's transactions as whole arrays that the VMM could have submitted.
package struct ImportedScenario: Sendable {
    package struct Machine: Hashable, Sendable {
        package var name: String
        package var traced: TracedMachine
        package var needs: BackendNeeds
    }

    package var name: String
    package var source: String
    /// The VMs that had a successful slot call, in the order of their first.
    package var machines: [Machine]
    /// The transactions, in the order of their first calls.
    package var transactions: [ImportedTransaction]
    /// The time of the first call, the origin of the comments' times.
    package var startTime: TraceTime?

    /// Passes the scenario's lines to `body`, as JSON in UTF-8, each with its newline.
    ///
    /// Keeps only one array per VM and one line in memory. Cost: the slots of every array, summed
    /// over all transactions.
    package func forEachLine<Failure: Error>(
        _ body: ([UInt8]) throws(Failure) -> Void
    ) throws(Failure) {
        // One for all lines, so that its memory is allocated once.
        var writer = JSONWriter()
        func emit() throws(Failure) {
            try body(writer.bytes)
            writer.removeAll()
        }
        writer.header(of: self)
        try emit()
        for machine in machines {
            writer.creation(of: machine)
            try emit()
        }
        var tables = machines.map { _ in SlotTable() }
        for transaction in transactions {
            for case let region? in transaction.calls.map(\.region) {
                _ = tables[transaction.machine].apply(region)
            }
            writer.comment(of: transaction, since: startTime)
            try emit()
            writer.submission(
                of: tables[transaction.machine].slots, to: machines[transaction.machine].name,
                by: transaction)
            try emit()
        }
    }

    /// The final arrays of the VMs, each ascending by address space and id.
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

/// The requirements of a VM's slots on a simulated backend.
package struct BackendNeeds: Hashable, Sendable {
    /// The number of address spaces; 1 by default.
    package var addressSpaces: UInt32 = 1
    /// One past the highest slot id; 32764 by default, which is enough on x86.
    package var maxSlots: UInt32 = Capabilities().maxSlots
    /// The bits of a guest physical address; 52 by default.
    package var guestPhysicalBits: Int = Capabilities().guestPhysicalBits
    /// The end of user space; by default as on x86-64 with four page-table levels.
    package var userspaceEnd: UserspaceAddress = Capabilities().userspaceEnd
    /// The flags; `log-dirty-pages` and `readonly` by default.
    package var flags: MemslotFlags = Capabilities().flags

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

    /// The rules of a host that has at least these limits.
    var likelyLimits: Capabilities {
        var limits = capabilities
        limits.addressSpaces = max(addressSpaces, Capabilities.likely.addressSpaces)
        limits.flags.formUnion(Capabilities.likely.flags)
        return limits
    }

    /// The rules of a VM with exactly these limits.
    var capabilities: Capabilities {
        var limits = Capabilities.likely
        limits.addressSpaces = addressSpaces
        limits.maxSlots = maxSlots
        limits.maxGuestPage =
            guestPhysicalBits >= 64 ? .max >> 12 : 1 << (guestPhysicalBits - 12) - 1
        limits.userspaceEnd = userspaceEnd
        limits.flags = flags
        return limits
    }

    /// arm64 with 48 and with 52 bits, x86-64 with five levels.
    private static let userspaceEnds: [UserspaceAddress] = [
        UserspaceAddress(rawValue: 1 << 48), UserspaceAddress(rawValue: 1 << 52),
        UserspaceAddress(rawValue: (1 << 56) - 4096),
    ]
}
