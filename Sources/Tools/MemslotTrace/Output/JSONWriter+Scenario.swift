import MemslotProtocol
import MemslotScenario
import Memslots

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

    /// Writes the time of a transaction and the number of its calls.
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

    /// Writes the request that submits the array after a transaction.
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
