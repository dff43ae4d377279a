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

    package var name, source: String
    /// The VMs that had a successful slot call, in the order of their first.
    package var machines: [Machine]
    package var transactions: [ImportedTransaction]
    /// The time of the first call, the origin of the comments' times.
    package var startTime: TraceTime?

    /// Passes the scenario's lines to `body`, each with its newline. Keeps only one array per VM.
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
        Capabilities(
            maxSlots: maxSlots, addressSpaces: addressSpaces,
            maxGuestPage: guestPhysicalBits >= 64 ? .max >> 12 : 1 << (guestPhysicalBits - 12) - 1,
            userspaceEnd: userspaceEnd, flags: flags)
    }

    /// arm64 with 48 and with 52 bits, x86-64 with five levels.
    private static let userspaceEnds: [UserspaceAddress] = [
        UserspaceAddress(rawValue: 1 << 48), UserspaceAddress(rawValue: 1 << 52),
        UserspaceAddress(rawValue: (1 << 56) - 4096),
    ]
}

/// The lines of a scenario, in the form of `Fixtures/qemu`. Each ends with a newline.
extension JSONWriter {
    mutating func header(of scenario: ImportedScenario) {
        line {
            $0.member("scenario", scenario.name)
            $0.member("source", scenario.source)
        }
    }

    mutating func creation(of machine: ImportedScenario.Machine) {
        line {
            $0.member("method", "vm.create")
            $0.object("params") {
                $0.member("vm", machine.name)
                $0.member("backend", "simulated")
                let isUsual = machine.needs.capabilities == SimulatedParameters().capabilities
                if !isUsual { $0.simulated(machine.needs) }
            }
            $0.expectedResult {
                $0.member("vm", machine.name)
                $0.member("generation", 0)
            }
        }
    }

    mutating func comment(of transaction: ImportedTransaction, since start: TraceTime?) {
        var place = "at line \(transaction.line)"
        if let start, let time = transaction.time { place = "at \(time.seconds(since: start))" }
        let undecoded = transaction.calls.count { $0.region == nil }
        line {
            $0.member("comment", place)
            $0.member("recordedOperations", transaction.calls.count)
            if undecoded > 0 { $0.member("undecodedOperations", undecoded) }
        }
    }

    mutating func submission(
        of slots: [Memslot], to machine: String, by transaction: ImportedTransaction
    ) {
        line {
            $0.member("method", "memslots.submit")
            $0.object("params") {
                $0.member("vm", machine)
                $0.list("slots", slots) { $0.scenarioSlot($1) }
            }
            $0.expectedResult {
                $0.member("outcome", transaction.outcome.rawValue)
                $0.member("generation", transaction.generation.rawValue)
            }
        }
    }

    /// Unlike in a reply, empty flags are omitted.
    private mutating func scenarioSlot(_ slot: Memslot) {
        object {
            $0.members(of: slot.assignedKey)
            $0.member("guestPhysicalAddress", address: slot.guestPhysicalAddress.rawValue)
            $0.member("size", address: slot.size.rawValue)
            $0.member("userspaceAddress", address: slot.userspaceAddress.rawValue)
            if !slot.flags.isEmpty { $0.member(flags: slot.flags) }
        }
    }

    /// Writes only what differs from the defaults.
    private mutating func simulated(_ needs: SimulatedParameters) {
        let defaults = SimulatedParameters()
        func changed<Value: Equatable>(_ limit: KeyPath<SimulatedParameters, Value>) -> Value? {
            needs[keyPath: limit] == defaults[keyPath: limit] ? nil : needs[keyPath: limit]
        }
        object("simulated") {
            $0.member("addressSpaces", changed(\.addressSpaces).map { UInt64($0) })
            $0.member("maxSlots", changed(\.maxSlots).map { UInt64($0) })
            $0.member("guestPhysicalBits", changed(\.guestPhysicalBits).map { UInt64($0) })
            $0.member("userspaceEnd", address: changed(\.userspaceEnd)?.rawValue)
            if let flags = changed(\.flags) { $0.member(flags: flags) }
        }
    }

    private mutating func expectedResult(_ members: (inout JSONWriter) -> Void) {
        object("expect") { $0.object("result", members) }
    }
}
