package import MemslotProtocol
import MemslotScenario
package import Memslots

/// A log's transactions as whole arrays that the VMM could have submitted.
package struct ImportedScenario: Sendable {
    package struct Machine: Hashable, Sendable {
        package var name: String
        package var traced: TracedMachine
        package var needs: SimulatedParameters
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
    package func forEachLine(_ body: ([UInt8]) -> Void) {
        // One for all lines, so that its memory is allocated once.
        var writer = JSONWriter()
        func emit() {
            body(writer.bytes)
            writer.removeAll()
        }
        writer.header(of: self)
        emit()
        for machine in machines {
            writer.creation(of: machine)
            emit()
        }
        _ = replay { transaction, slots in
            writer.comment(of: transaction, since: startTime)
            emit()
            writer.submission(of: slots, to: machines[transaction.machine].name, by: transaction)
            emit()
        }
    }

    /// The final arrays of the VMs, each ascending by address space and id.
    package var finalSlots: [[Memslot]] { replay { _, _ in } }

    /// Passes each transaction with the array after it to `body`; returns the final arrays.
    private func replay(_ body: (ImportedTransaction, [Memslot]) -> Void) -> [[Memslot]] {
        var tables = machines.map { _ in SlotTable() }
        for transaction in transactions {
            for case let region? in transaction.calls.map(\.region) {
                _ = tables[transaction.machine].apply(region)
            }
            body(transaction, tables[transaction.machine].slots)
        }
        return tables.map(\.slots)
    }
}

/// The requirements of a VM's slots on a simulated backend; the defaults are enough on x86.
extension SimulatedParameters {
    mutating func include(_ slot: Memslot) {
        addressSpaces = max(addressSpaces, slot.addressSpace.rawValue &+ 1)
        maxSlots = max(maxSlots, slot.assignedID.rawValue &+ 1)
        flags.formUnion(slot.flags)
        let last = slot.guestPhysicalEnd.rawValue &- 1
        let bits = UInt32(UInt64.bitWidth - last.leadingZeroBitCount)
        guestPhysicalBits = max(guestPhysicalBits, bits)
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
